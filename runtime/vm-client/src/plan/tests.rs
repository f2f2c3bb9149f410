//! Tests of the message that a plan becomes.

use std::os::fd::AsRawFd;

use super::*;

fn nic(pairs: usize, vhost: bool) -> NicPlan {
    let file = || OwnedFd::from(tempfile::tempfile().unwrap());
    let queue = || NicQueuePlan {
        tap: file(),
        vhost: vhost.then(file),
    };
    NicPlan {
        id: format!("net{pairs}").parse().unwrap(),
        mac: Mac::new([2, 0, 0, 0, 0, u8::try_from(pairs).unwrap()]).unwrap(),
        mtu: 1500,
        queues: (0..pairs).map(|_| queue()).collect(),
    }
}

fn plan() -> LaunchPlan {
    let file = || tempfile::tempfile().unwrap();
    let segment = |offset| SegmentPlan {
        file: file(),
        offset,
        length: 4096,
    };
    LaunchPlan {
        program: PathBuf::from("/usr/libexec/cofferdam-vmm"),
        run_folder: PathBuf::from("/run/cofferdam/pods/a"),
        cgroup: None,
        name: "a".to_owned(),
        identity: Identity { uid: 1, gid: 1 },
        lifetime: Lifetime::WithLauncher,
        processors: Processors { boot: 1, max: 2 },
        memory_bytes: 128 << 20,
        command_line: String::new(),
        kernel: file(),
        guest_image: Some(file()),
        console: Some(file()),
        deadlines: Deadlines::scaled(1),
        disks: vec![DiskPlan {
            id: "image".parse().unwrap(),
            segments: vec![segment(0), segment(4096)],
            read_only: true,
        }],
        nics: vec![nic(1, false), nic(2, true)],
        vfio: None,
        later_functions: 0,
    }
}

fn check(change: impl FnOnce(&mut LaunchPlan), fds: usize) {
    assert_eq!(fds_of(change), fds);
}

#[test]
fn plan_becomes_a_message_that_names_every_descriptor_once() {
    check(|_| (), 13);
    check(|plan| plan.guest_image = None, 12);
    check(|plan| plan.console = None, 12);
    check(|plan| plan.disks.clear(), 11);
    check(|plan| plan.nics.clear(), 8);
}

#[test]
fn nic_s_descriptors_go_in_the_order_of_its_message() {
    let nic = nic(2, true);
    let mut parcel = Parcel::default();
    let message = nic.message_part(&mut parcel);
    let named: Vec<_> = parcel.fds().iter().map(|fd| fd.as_raw_fd()).collect();
    drop(parcel);
    let places = message.queues.iter().map(|queue| (queue.tap, queue.vhost));
    let expect = [(Fd(0), Some(Fd(1))), (Fd(2), Some(Fd(3)))];
    assert_eq!(places.collect::<Vec<_>>(), expect);
    let fds: Vec<_> = nic.into_fds().iter().map(AsRawFd::as_raw_fd).collect();
    assert_eq!(fds, named);
}

#[test]
fn functions_of_the_host_come_with_their_groups_or_cdevs() {
    let functions = vec![
        ("0000:41:00.0".parse().unwrap(), 1),
        ("0000:01:00.0".parse().unwrap(), 0),
    ];
    let file = || tempfile::tempfile().unwrap();
    let before = fds_of(|_| {});
    for interface in [VfioInterface::Type1, VfioInterface::Iommufd] {
        let functions = functions.clone();
        let with = fds_of(|plan| {
            plan.vfio = Some(VfioPlan {
                interface,
                domain: file(),
                nodes: vec![file(), file()],
                functions,
            });
        });
        assert_eq!(with, before + 3, "{interface:?}");
    }
}

/// How many descriptors a changed plan's message comes with. The message names each of them once.
fn fds_of(change: impl FnOnce(&mut LaunchPlan)) -> usize {
    let mut plan = plan();
    change(&mut plan);
    let kvm = tempfile::tempfile().unwrap();
    let socket = || OwnedFd::from(tempfile::tempfile().unwrap());
    let listeners = Listeners {
        control: socket(),
        vsock: socket(),
    };
    let (message, parcel) = plan.message(&kvm, &listeners, 7);
    message.check(parcel.fds().len()).unwrap();
    parcel.fds().len()
}
