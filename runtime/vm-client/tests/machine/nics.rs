//! NICs that come and go in front of real taps, and what is refused. Frames need a guest with a driver; `virtio` tests them.

use std::{
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags,
    SocketType,
};
use vm_client::{Datapath, Mac, Monitor, NicPlan, NicQueuePlan, RequestError};

use crate::{
    guest,
    stage::{SOON, Scene, chain, has_again, soon, threads_and_descriptors},
};

/// Makes queues of a tap in a network namespace of its own and sends them through its standard input, a socket. Making a tap takes an
/// ioctl(2), for which this crate has no room; what a node makes its taps with is another crate's.
const TAP_MAKER: &str = "
import ctypes, fcntl, os, socket, struct, sys
queues, flags, header = map(int, sys.argv[1:])
if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
    sys.exit('unshare: ' + os.strerror(ctypes.get_errno()))
taps = []
for _ in range(queues):
    taps.append(os.open('/dev/net/tun', os.O_RDWR))
    fcntl.ioctl(taps[-1], 0x400454ca, struct.pack('16sH22x', b'tap0', flags))
    if flags & 0x4000:
        fcntl.ioctl(taps[-1], 0x400454d8, struct.pack('i', header))
socket.send_fds(socket.socket(fileno=0), [b'taps'], taps)
";

const TAP: u16 = 0x0002;
const NO_PI: u16 = 0x1000;
const VNET_HDR: u16 = 0x4000;
const MULTI_QUEUE: u16 = 0x0100;

/// Taps, or a printed skip.
fn taps(queues: usize, flags: u16, header: u8) -> Option<Vec<OwnedFd>> {
    let (ours, theirs) = net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let maker = Command::new("python3")
        .args(["-c", TAP_MAKER, &queues.to_string(), &flags.to_string()])
        .arg(header.to_string())
        .stdin(Stdio::from(theirs))
        .stderr(Stdio::piped())
        .spawn();
    let made = maker.and_then(std::process::Child::wait_with_output);
    let failed = match made {
        Ok(output) if output.status.success() => return Some(receive(&ours)),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("SKIPPED: making a tap needs python3, root and /dev/net/tun: {failed}");
    None
}

fn receive(socket: &OwnedFd) -> Vec<OwnedFd> {
    let mut bytes = [0; 4];
    let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let messages = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    messages.flatten().collect()
}

fn plan(number: u8, taps: Vec<OwnedFd>) -> NicPlan {
    let queues = taps
        .into_iter()
        .map(|tap| NicQueuePlan { tap, vhost: None });
    NicPlan {
        id: format!("net{number}").parse().unwrap(),
        mac: Mac::new([2, 0, 0, 0, 0, number]).unwrap(),
        mtu: 1500,
        queues: queues.collect(),
    }
}

fn ours(queues: usize) -> Option<Vec<OwnedFd>> {
    let several = if queues > 1 { MULTI_QUEUE } else { 0 };
    taps(queues, TAP | NO_PI | VNET_HDR | several, 12)
}

fn refusal(answer: Result<impl std::fmt::Debug, RequestError>) -> String {
    match answer {
        Err(RequestError::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn nics_come_and_go_and_are_listed() {
    let Some(scene) = Scene::set() else { return };
    let (Some(first), Some(second)) = (ours(1), ours(4)) else {
        return;
    };
    let mut launch = scene.plan(guest::WAITS);
    launch.nics.push(plan(0, first));
    let launched = soon(Monitor::launch(launch)).await;
    let (monitor, _) = launched.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let address = soon(monitor.add_nic(plan(1, second))).await.unwrap();
    let status = soon(monitor.status()).await.unwrap();
    let listed: Vec<_> = status.nics.iter().collect();
    let [(first_id, first), (id, nic)] = listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!((first_id.as_str(), id.as_str()), ("net0", "net1"));
    assert_eq!(nic.pci_address, address);
    assert_ne!(first.pci_address, address);
    assert_eq!(nic.mac.to_string(), "02:00:00:00:00:01");
    assert_eq!(nic.datapath, Datapath::UserSpace);

    // Both are names that are taken, then one can be had again.
    let taken = plan(1, ours(1).unwrap());
    let reason = refusal(soon(monitor.add_nic(taken)).await);
    assert_eq!(reason, "a NIC net1 is on the bus already");
    let mut same = plan(2, ours(1).unwrap());
    same.mac = Mac::new([2, 0, 0, 0, 0, 1]).unwrap();
    let reason = refusal(soon(monitor.add_nic(same)).await);
    assert_eq!(
        reason,
        "NIC net1 has the MAC address 02:00:00:00:00:01 already"
    );
    soon(monitor.remove_device(address)).await.unwrap();
    let again = plan(1, ours(2).unwrap());
    assert_eq!(soon(monitor.add_nic(again)).await.unwrap(), address);
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn removing_nics_gives_back_their_threads_and_descriptors() {
    let Some(scene) = Scene::set() else { return };
    let Some(_probe) = ours(1) else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let pid = monitor.pid().unwrap();
    soon(monitor.status()).await.unwrap();
    let before = threads_and_descriptors(pid);
    for queues in [1, 8, 3] {
        let nic = plan(1, ours(queues).unwrap());
        let address = soon(monitor.add_nic(nic)).await.unwrap();
        let with = threads_and_descriptors(pid);
        assert!(with.0 > before.0 && with.1 > before.1);
        soon(monitor.remove_device(address)).await.unwrap();
        let refused = plan(1, taps(1, TAP | NO_PI, 0).unwrap());
        refusal(soon(monitor.add_nic(refused)).await);
    }
    has_again(pid, before).await;
    soon(monitor.stop(SOON)).await;
}

#[tokio::test]
async fn taps_that_are_none_of_ours_are_refused_and_change_nothing() {
    let Some(scene) = Scene::set() else { return };
    let monitor = scene.launch(guest::WAITS).await;
    let null = std::fs::File::open("/dev/null").unwrap();
    let reason = refusal(soon(monitor.add_nic(plan(1, vec![null.into()]))).await);
    assert!(
        reason.starts_with("make NIC net1: take the taps of a network device: use a descriptor as a tap: it is none"),
        "{reason}"
    );
    let reason = refusal(soon(monitor.add_nic(plan(1, Vec::new()))).await);
    assert_eq!(
        reason,
        "NIC net1 has 0 pairs of queues: 1 to 8 are possible"
    );
    for (flags, header, expect) in [
        (TAP | NO_PI, 0, "was made without IFF_VNET_HDR"),
        (
            TAP | NO_PI | VNET_HDR,
            10,
            "set it to 12 with TUNSETVNETHDRSZ",
        ),
    ] {
        let Some(taps) = taps(1, flags, header) else {
            break;
        };
        let reason = refusal(soon(monitor.add_nic(plan(1, taps))).await);
        assert!(reason.contains(expect), "{reason}");
    }
    assert!(soon(monitor.status()).await.unwrap().nics.is_empty());
    soon(monitor.stop(SOON)).await;
}
