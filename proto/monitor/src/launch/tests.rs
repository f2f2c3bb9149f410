//! Tests of the launch message's form and bounds.

use super::*;
use crate::VERSION;

fn disk(id: &str, first_fd: u8, offset: u64, length: u64) -> Disk {
    let segments = vec![Segment {
        fd: Fd(first_fd),
        offset,
        length,
    }];
    Disk {
        id: id.parse().unwrap(),
        segments,
        read_only: true,
    }
}

fn launch() -> Launch {
    Launch {
        version: VERSION,
        name: "web".to_owned(),
        started_ns: 1,
        identity: Identity {
            uid: 60_001,
            gid: 60_001,
        },
        lifetime: Lifetime::WithLauncher,
        processors: Processors { boot: 1, max: 4 },
        memory_bytes: 256 << 20,
        command_line: String::new(),
        kvm: Fd(0),
        kernel: Fd(1),
        guest_image: Some(Fd(2)),
        control_listener: Fd(3),
        vsock: Vsock {
            listener: Fd(4),
            guest_cid: 3,
        },
        console: Console::Log(Fd(5)),
        disks: vec![disk("image", 6, 0, 4096)],
        nics: Vec::new(),
        vfio: None,
        later_functions: 0,
    }
}

/// The container is descriptor 7, the groups come behind it.
fn vfio(groups: u8, functions: &[(&str, u8)]) -> Option<Vfio> {
    let function = |(address, node): &(&str, u8)| VfioFunction {
        host_address: address.parse().unwrap(),
        node: *node,
    };
    Some(Vfio {
        access: VfioAccess::Type1 {
            container: Fd(7),
            groups: (0..groups).map(|group| Fd(8 + group)).collect(),
        },
        functions: functions.iter().map(function).collect(),
    })
}

/// The same with cdevs.
fn by_iommufd(cdevs: u8, functions: &[(&str, u8)]) -> Option<Vfio> {
    let vfio = vfio(cdevs, functions)?;
    Some(Vfio {
        access: VfioAccess::Iommufd {
            iommufd: vfio.access.domain(),
            cdevs: vfio.access.nodes().to_vec(),
        },
        functions: vfio.functions,
    })
}

fn nic(id: &str, mac: &str, queues: &[(u8, Option<u8>)]) -> Nic {
    let queue = |(tap, vhost): &(u8, Option<u8>)| NicQueue {
        tap: Fd(*tap),
        vhost: vhost.map(Fd),
    };
    Nic {
        id: id.parse().unwrap(),
        mac: mac.parse().unwrap(),
        mtu: 1500,
        queues: queues.iter().map(queue).collect(),
    }
}

fn check(change: impl FnOnce(&mut Launch), fds: usize, expect: &Result<(), Invalid>) {
    let mut launch = launch();
    change(&mut launch);
    assert_eq!(&launch.check(fds), expect);
}

#[test]
fn launch_message_survives_its_json() {
    let mut launch = launch();
    launch.nics = vec![nic(
        "eth0",
        "02:00:5e:00:53:01",
        &[(7, Some(8)), (9, Some(10))],
    )];
    let json = serde_json::to_string(&launch).unwrap();
    assert_eq!(serde_json::from_str::<Launch>(&json).unwrap(), launch);
}

#[test]
fn launch_message_that_says_nothing_of_nics_has_none() {
    let mut value = serde_json::to_value(launch()).unwrap();
    value.as_object_mut().unwrap().remove("nics").unwrap();
    assert_eq!(serde_json::from_value::<Launch>(value).unwrap(), launch());
}

#[test]
fn launch_with_an_unknown_field_is_refused() {
    let mut value = serde_json::to_value(launch()).unwrap();
    value["jail"] = "off".into();
    assert!(serde_json::from_value::<Launch>(value).is_err());
}

#[test]
fn launch_of_sane_values_passes() {
    check(|_| (), 7, &Ok(()));
    check(|launch| launch.disks.clear(), 6, &Ok(()));
}

#[test]
fn launch_with_values_out_of_bounds_names_them() {
    check(
        |launch| launch.version = 2,
        7,
        &Err(Invalid::Version { found: 2 }),
    );
    check(
        |launch| launch.name.clear(),
        7,
        &Err(Invalid::Name { length: 0 }),
    );
    let root = Identity { uid: 0, gid: 5 };
    check(
        |launch| launch.identity = root,
        7,
        &Err(Invalid::Identity { uid: 0, gid: 5 }),
    );
    for (boot, max) in [(0, 1), (2, 1), (1, 65)] {
        let processors = Processors { boot, max };
        check(
            |launch| launch.processors = processors,
            7,
            &Err(Invalid::Processors { boot, max }),
        );
    }
    for bytes in [0, 16 << 20, (256 << 20) + 1, 2 << 40] {
        check(
            |launch| launch.memory_bytes = bytes,
            7,
            &Err(Invalid::Memory { bytes }),
        );
    }
    check(
        |launch| launch.command_line = "a\nb".to_owned(),
        7,
        &Err(Invalid::CommandLine),
    );
    check(
        |launch| launch.command_line = "x".repeat(1025),
        7,
        &Err(Invalid::CommandLine),
    );
    check(
        |launch| launch.vsock.guest_cid = 2,
        7,
        &Err(Invalid::Cid { cid: 2 }),
    );
}

#[test]
fn launch_whose_descriptors_do_not_match_is_refused() {
    check(|_| (), 6, &Err(Invalid::FdMissing { slot: 6, count: 6 }));
    check(|_| (), 8, &Err(Invalid::FdUnused { slot: 7 }));
    check(
        |launch| launch.kernel = Fd(0),
        7,
        &Err(Invalid::FdTwice { slot: 0 }),
    );
}

const MAC: &str = "02:00:5e:00:53:01";

fn check_nic(nic: &Nic, fds: usize, expect: &Result<(), Invalid>) {
    assert_eq!(&nic.check(fds), expect);
}

#[test]
fn nic_out_of_bounds_is_refused() {
    let id: NicId = "eth0".parse().unwrap();
    check_nic(&nic("eth0", MAC, &[(0, None)]), 1, &Ok(()));
    check_nic(&nic("eth0", MAC, &[(0, Some(1)), (2, Some(3))]), 4, &Ok(()));
    let count = |count| {
        Err(Invalid::NicQueues {
            id: id.clone(),
            count,
        })
    };
    check_nic(&nic("eth0", MAC, &[]), 0, &count(0));
    let nine: Vec<_> = (0..9).map(|place| (place, None)).collect();
    check_nic(&nic("eth0", MAC, &nine), 9, &count(9));
    let some = nic("eth0", MAC, &[(0, Some(1)), (2, None)]);
    check_nic(&some, 3, &Err(Invalid::NicVhost { id: id.clone() }));
    let small = Nic {
        mtu: 67,
        ..nic("eth0", MAC, &[(0, None)])
    };
    check_nic(&small, 1, &Err(Invalid::Mtu { id, mtu: 67 }));
    let twice = nic("eth0", MAC, &[(0, Some(0))]);
    check_nic(&twice, 1, &Err(Invalid::FdTwice { slot: 0 }));
    let unused = nic("eth0", MAC, &[(0, None)]);
    check_nic(&unused, 2, &Err(Invalid::FdUnused { slot: 1 }));
}

#[test]
fn launch_with_nics_that_can_not_be_told_apart_is_refused() {
    let other = "02:00:5e:00:53:02";
    let nics = |second| vec![nic("eth0", MAC, &[(7, None)]), second];
    check(
        |launch| launch.nics = nics(nic("net1", other, &[(8, None)])),
        9,
        &Ok(()),
    );
    let id = "eth0".parse().unwrap();
    check(
        |launch| launch.nics = nics(nic("eth0", other, &[(8, None)])),
        9,
        &Err(Invalid::NicTwice { id }),
    );
    let (id, mac) = ("net1".parse().unwrap(), MAC.parse().unwrap());
    check(
        |launch| launch.nics = nics(nic("net1", MAC, &[(8, None)])),
        9,
        &Err(Invalid::MacTwice { id, mac }),
    );
    check(
        |launch| launch.nics = (0..5).map(|_| nic("eth0", MAC, &[(7, None)])).collect(),
        9,
        &Err(Invalid::Nics { count: 5 }),
    );
}

#[test]
fn disk_with_bad_extents_is_refused() {
    let id: DiskId = "image".parse().unwrap();
    let bad = |offset, length| disk("image", 0, offset, length).check(1);
    let expect = Err(Invalid::Segment {
        id: id.clone(),
        index: 0,
    });
    for (offset, length) in [
        (1, 4096),
        (0, 0),
        (0, 4608),
        (u64::MAX - 4095, 4096),
        (4096, 1 << 63),
    ] {
        assert_eq!(bad(offset, length), expect, "{offset} {length}");
    }
    let mut shared = disk("image", 0, 0, 4096);
    shared.segments.push(Segment {
        fd: Fd(0),
        offset: 4096,
        length: 4096,
    });
    assert_eq!(shared.check(1), Ok(()));
    let empty = Disk {
        segments: Vec::new(),
        ..disk("image", 0, 0, 4096)
    };
    assert_eq!(
        empty.check(0),
        Err(Invalid::Segments {
            id: id.clone(),
            count: 0
        })
    );
    check(
        |launch| launch.disks.push(disk("image", 7, 0, 4096)),
        8,
        &Err(Invalid::DiskTwice { id }),
    );
}

#[test]
fn functions_of_two_groups_are_possible() {
    let functions = [
        ("0000:41:00.0", 0),
        ("0000:41:00.1", 0),
        ("0000:81:00.0", 1),
    ];
    check(|launch| launch.vfio = vfio(2, &functions), 10, &Ok(()));
    let mut launch = launch();
    launch.vfio = vfio(2, &functions);
    let json = serde_json::to_string(&launch).unwrap();
    assert_eq!(serde_json::from_str::<Launch>(&json).unwrap(), launch);
}

#[test]
fn functions_by_iommufd_have_a_cdev_each() {
    let functions = [("0000:41:00.0", 1), ("0000:41:00.1", 0)];
    check(
        |launch| launch.vfio = by_iommufd(2, &functions),
        10,
        &Ok(()),
    );
    let shared = [("0000:41:00.0", 0), ("0000:41:00.1", 0)];
    let refused = Err(Invalid::VfioNodes);
    check(|launch| launch.vfio = by_iommufd(1, &shared), 9, &refused);
    let mut launch = launch();
    launch.vfio = by_iommufd(2, &functions);
    let json = serde_json::to_string(&launch).unwrap();
    assert_eq!(serde_json::from_str::<Launch>(&json).unwrap(), launch);
}

#[test]
fn sixteen_functions_are_possible_and_no_more() {
    let addresses: Vec<String> = (1..=17).map(|bus| format!("0000:{bus:02x}:00.0")).collect();
    let given = |count: usize| {
        let functions = addresses.iter().zip(0_u8..).take(count);
        let functions: Vec<_> = functions
            .map(|(address, group)| (address.as_str(), group))
            .collect();
        vfio(u8::try_from(count).unwrap(), &functions)
    };
    check(|launch| launch.vfio = given(16), 24, &Ok(()));
    let many = Err(Invalid::VfioFunctions { count: 17 });
    check(|launch| launch.vfio = given(17), 25, &many);
}

#[test]
fn functions_that_do_not_fit_their_groups_are_refused() {
    let address: PciAddress = "0000:41:00.0".parse().unwrap();
    type Functions = &'static [(&'static str, u8)];
    let cases: [(u8, Functions, usize, Invalid); 5] = [
        (0, &[], 8, Invalid::VfioFunctions { count: 0 }),
        (1, &[("0000:41:00.0", 1)], 9, Invalid::VfioNodes),
        (2, &[("0000:41:00.0", 0)], 10, Invalid::VfioNodes),
        (
            1,
            &[("0000:41:00.0", 0), ("0000:41:00.0", 0)],
            9,
            Invalid::VfioTwice { address },
        ),
        (
            1,
            &[("0000:41:00.0", 0)],
            8,
            Invalid::FdMissing { slot: 8, count: 8 },
        ),
    ];
    for (groups, functions, fds, expect) in cases {
        let set = |launch: &mut Launch| launch.vfio = vfio(groups, functions);
        check(set, fds, &Err(expect));
    }
}
