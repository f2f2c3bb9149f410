//! What a running monitor is asked: how it is, disks that come and go, and what it refuses.

use std::fs::File;

use rustix::net::{self, AddressFamily, SendFlags, SocketAddrUnix, SocketType};
use vm_client::{
    CONTROL_SOCKET, DiskPlan, FunctionPlan, LaunchError, Monitor, RequestError, SegmentPlan,
};

use crate::{
    guest,
    stage::{SOON, Scene, has_again, soon, threads_and_descriptors},
};

fn disk(id: &str, bytes: u64) -> DiskPlan {
    let file: File = tempfile::tempfile().unwrap();
    file.set_len(bytes).unwrap();
    let segments = vec![SegmentPlan {
        file,
        offset: 0,
        length: bytes,
    }];
    DiskPlan {
        id: id.parse().unwrap(),
        segments,
        read_only: false,
    }
}

pub(crate) fn refusal(answer: Result<impl std::fmt::Debug, RequestError>) -> String {
    match answer {
        Err(RequestError::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn disks_come_and_go_and_their_slots_are_used_again() {
    let Some(scene) = Scene::set() else { return };
    let mut plan = scene.plan(guest::WAITS);
    plan.disks.push(disk("first", 8192));
    let (monitor, _) = soon(vm_client::Monitor::launch(plan)).await.unwrap();
    let status = soon(monitor.status()).await.unwrap();
    assert_eq!((status.processors, status.memory_bytes), (2, 64 << 20));
    assert_eq!(status.disks.len(), 1);

    let second = soon(monitor.add_disk(disk("second", 4096))).await.unwrap();
    let third = soon(monitor.add_disk(disk("third", 4096))).await.unwrap();
    assert_ne!(second, third);
    assert_eq!(soon(monitor.status()).await.unwrap().disks.len(), 3);
    soon(monitor.remove_device(second)).await.unwrap();
    let again = soon(monitor.add_disk(disk("second", 4096))).await.unwrap();
    assert_eq!(again, second);
    soon(monitor.stop(SOON)).await;
    assert!(matches!(
        soon(monitor.status()).await,
        Err(RequestError::Ended(_))
    ));
}

#[tokio::test]
async fn removing_disks_gives_back_their_threads_and_descriptors() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let pid = monitor.pid().unwrap();
    // Once it has answered it has accepted the connection.
    soon(monitor.status()).await.unwrap();
    let before = threads_and_descriptors(pid);
    for _ in 0..40 {
        let address = soon(monitor.add_disk(disk("hot", 4096))).await.unwrap();
        soon(monitor.remove_device(address)).await.unwrap();
    }
    has_again(pid, before).await;
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn requests_that_can_not_be_fulfilled_are_refused_and_change_nothing() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let none = "0000:00:1f.0".parse().unwrap();
    let reason = refusal(soon(monitor.remove_device(none)).await);
    assert_eq!(
        reason,
        "there is no disk, no NIC, no share and no function of the host at 0000:00:1f.0"
    );
    let bridge = "0000:00:00.0".parse().unwrap();
    refusal(soon(monitor.remove_device(bridge)).await);

    let mut long = disk("long", 4096);
    long.segments.first_mut().unwrap().length = 8192;
    let reason = refusal(soon(monitor.add_disk(long)).await);
    assert!(reason.contains("make disk long"), "{reason}");

    soon(monitor.add_disk(disk("one", 4096))).await.unwrap();
    let reason = refusal(soon(monitor.add_disk(disk("one", 4096))).await);
    assert_eq!(reason, "a disk one is on the bus already");
    assert_eq!(soon(monitor.status()).await.unwrap().disks.len(), 1);
    soon(monitor.stop(SOON)).await;
}

/// A function whose nodes are none of VFIO's.
fn function() -> FunctionPlan {
    let null = || File::options().read(true).write(true).open("/dev/null");
    FunctionPlan {
        host_address: "0000:41:00.0".parse().unwrap(),
        container: null().unwrap(),
        group: null().unwrap(),
    }
}

#[tokio::test]
async fn function_of_the_host_is_refused_where_none_is_expected() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let reason = refusal(soon(monitor.add_function(function())).await);
    assert_eq!(
        reason,
        "the machine was not started for functions of the host"
    );
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn function_of_the_host_that_is_none_is_refused_and_leaves_nothing() {
    let Some(scene) = Scene::set() else { return };
    let mut plan = scene.plan(guest::WAITS);
    plan.later_functions = 1;
    let monitor = match soon(Monitor::launch(plan)).await {
        Ok((monitor, _)) => monitor,
        // Its memory may be pinned, and that takes CAP_SYS_RESOURCE to allow.
        Err(LaunchError::Refused { reason }) if reason.contains("set resource limits") => {
            eprintln!("SKIPPED: a machine for functions of the host needs CAP_SYS_RESOURCE");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let pid = monitor.pid().unwrap();
    soon(monitor.status()).await.unwrap();
    let before = threads_and_descriptors(pid);
    // More often than there is room for: nothing of it counts.
    for _ in 0..3 {
        let reason = refusal(soon(monitor.add_function(function())).await);
        assert!(
            reason.contains("use the descriptor given as VFIO's container"),
            "{reason}"
        );
    }
    has_again(pid, before).await;
    let status = soon(monitor.status()).await.unwrap();
    assert!(status.vfio.is_empty() && status.later_functions.is_empty());
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn garbage_on_the_control_socket_is_refused_and_others_are_served() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let socket = net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    let address = SocketAddrUnix::new(scene.folder().join(CONTROL_SOCKET)).unwrap();
    net::connect(&socket, &address).unwrap();
    let too_long = vec![b'x'; (64 << 10) + 1];
    for garbage in [
        b"{}".as_slice(),
        b"\0\0\0",
        br#"{"request":"open","path":"/"}"#,
        &too_long,
    ] {
        net::send(&socket, garbage, SendFlags::NOSIGNAL).unwrap();
        let mut answer = [0; 4096];
        let (length, _) = net::recv(&socket, &mut answer, net::RecvFlags::empty()).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.contains("refused"), "{answer}");
    }
    soon(monitor.status()).await.unwrap();
    soon(monitor.stop(SOON)).await;
}
