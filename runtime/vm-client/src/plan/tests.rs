//! Tests of the message that a plan becomes.

use super::*;

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
        name: "a".to_owned(),
        identity: Identity { uid: 1, gid: 1 },
        lifetime: Lifetime::WithLauncher,
        processors: Processors { boot: 1, max: 2 },
        memory_bytes: 128 << 20,
        command_line: String::new(),
        kernel: file(),
        guest_image: Some(file()),
        console: Some(file()),
        disks: vec![DiskPlan {
            id: "image".parse().unwrap(),
            segments: vec![segment(0), segment(4096)],
            read_only: true,
        }],
    }
}

fn check(change: impl FnOnce(&mut LaunchPlan), fds: usize) {
    let mut plan = plan();
    change(&mut plan);
    let kvm = tempfile::tempfile().unwrap();
    let socket = || OwnedFd::from(tempfile::tempfile().unwrap());
    let listeners = Listeners {
        control: socket(),
        vsock: socket(),
    };
    let (message, parcel) = plan.message(&kvm, &listeners, 7);
    assert_eq!(parcel.fds().len(), fds);
    assert_eq!(message.check(fds), Ok(()));
}

#[test]
fn plan_becomes_a_message_that_names_every_descriptor_once() {
    check(|_| (), 8);
    check(|plan| plan.guest_image = None, 7);
    check(|plan| plan.console = None, 7);
    check(|plan| plan.disks.clear(), 6);
}
