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
    }
}

fn check(change: impl FnOnce(&mut Launch), fds: usize, expect: &Result<(), Invalid>) {
    let mut launch = launch();
    change(&mut launch);
    assert_eq!(&launch.check(fds), expect);
}

#[test]
fn launch_message_survives_its_json() {
    let json = serde_json::to_string(&launch()).unwrap();
    assert_eq!(serde_json::from_str::<Launch>(&json).unwrap(), launch());
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
