//! Tests over real sockets.

use std::{fs::File, io::Read, io::Write, os::fd::OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;
use crate::{EndReason, Ending, Reply, Request};

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

fn check_reply(reply: &Reply) {
    let (left, right) = pair();
    send(&left, reply, &[]).unwrap();
    let received = receive::<Reply>(&right).unwrap().unwrap();
    assert_eq!(&received.message, reply);
}

#[test]
fn replies_survive_the_socket() {
    check_reply(&Reply::Removed);
    check_reply(&Reply::Length { bytes: 1 << 40 });
    check_reply(&Reply::Added {
        pci_address: "0000:00:04.0".parse().unwrap(),
    });
    check_reply(&Reply::Refused {
        reason: "no room".to_owned(),
    });
    check_reply(&Reply::Ended(Ending {
        reason: EndReason::GuestPanic,
        text: "panic".to_owned(),
        // The worst escaping of a full tail still fits in one message.
        console_tail: "\u{1}".repeat(crate::limits::CONSOLE_TAIL_BYTES),
    }));
}

fn check_request(request: &Request) {
    let (left, right) = pair();
    send(&left, request, &[]).unwrap();
    assert_eq!(
        &receive::<Request>(&right).unwrap().unwrap().message,
        request
    );
}

#[test]
fn requests_survive_the_socket() {
    let segments = vec![crate::Segment {
        fd: crate::Fd(0),
        offset: 0,
        length: 512,
    }];
    let id = "scratch".parse().unwrap();
    check_request(&Request::Status);
    check_request(&Request::AddDisk(crate::Disk {
        id,
        segments,
        read_only: false,
    }));
    check_request(&Request::AddNic(crate::Nic {
        id: "eth0".parse().unwrap(),
        mac: "02:00:5e:00:53:01".parse().unwrap(),
        mtu: 9000,
        queues: vec![crate::NicQueue {
            tap: crate::Fd(0),
            vhost: Some(crate::Fd(1)),
        }],
    }));
    check_request(&Request::GrowBlockDevice {
        id: "block-7.0-w".parse().unwrap(),
    });
    check_request(&Request::RemoveDevice {
        pci_address: "0000:00:04.0".parse().unwrap(),
    });
    check_request(&Request::Stop);
}

#[test]
fn descriptor_arrives_as_the_same_file() {
    let (left, right) = pair();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"kernel").unwrap();
    send(&left, &Request::Status, &[file.as_fd(), file.as_fd()]).unwrap();
    let received = receive::<Request>(&right).unwrap().unwrap();
    assert_eq!(received.message, Request::Status);
    assert_eq!(received.fds.len(), 2);
    let mut text = String::new();
    let mut copy = File::from(received.fds.into_iter().next().unwrap());
    std::io::Seek::rewind(&mut copy).unwrap();
    copy.read_to_string(&mut text).unwrap();
    assert_eq!(text, "kernel");
}

#[test]
fn most_descriptors_fit_and_one_more_does_not() {
    let (left, right) = pair();
    let file = tempfile::tempfile().unwrap();
    let most = vec![file.as_fd(); MESSAGE_FDS];
    send(&left, &Request::Status, &most).unwrap();
    assert_eq!(
        receive::<Request>(&right).unwrap().unwrap().fds.len(),
        MESSAGE_FDS
    );
    let more = vec![file.as_fd(); MESSAGE_FDS + 1];
    assert!(matches!(
        send(&left, &Request::Status, &more),
        Err(SendError::TooLarge { .. })
    ));
}

#[test]
fn message_too_large_is_refused_on_both_sides() {
    let (left, right) = pair();
    let long = Reply::Refused {
        reason: "x".repeat(MESSAGE_BYTES),
    };
    assert!(matches!(
        send(&left, &long, &[]),
        Err(SendError::TooLarge { .. })
    ));
    let raw = vec![b' '; MESSAGE_BYTES + 1];
    rustix::net::send(&left, &raw, SendFlags::empty()).unwrap();
    assert!(matches!(
        receive::<Reply>(&right),
        Err(ReceiveError::TooLarge)
    ));
}

#[test]
fn closed_socket_is_an_end_and_an_empty_one_would_block() {
    let (left, right) = pair();
    assert!(receive::<Reply>(&right).unwrap_err().would_block());
    drop(left);
    assert!(receive::<Reply>(&right).unwrap().is_none());
}

fn check_reads_as(json: &str, expect: Option<Reply>) {
    let (left, right) = pair();
    rustix::net::send(&left, json.as_bytes(), SendFlags::empty()).unwrap();
    match (receive::<Reply>(&right), expect) {
        (Ok(Some(received)), Some(expect)) => assert_eq!(received.message, expect),
        (Err(ReceiveError::Form(_)), None) => (),
        (found, expect) => panic!("{json}: {found:?}, expected {expect:?}"),
    }
}

#[test]
fn reply_of_a_newer_monitor_is_read_as_far_as_known() {
    check_reads_as(r#"{"reply":"removed","cost":3}"#, Some(Reply::Removed));
    let ending = Ending {
        reason: EndReason::Unknown,
        text: "hot".to_owned(),
        console_tail: String::new(),
    };
    let json = r#"{"reply":"ended","reason":"overheated","text":"hot"}"#;
    check_reads_as(json, Some(Reply::Ended(ending)));
    let status = r#"{"reply":"status","version":1,"name":"a","pidfd":0,"uptime_us":1,"memory_bytes":4096,"processors":1,
        "disks":{},"nics":{"eth0":{"pci_address":"0000:00:03.0","mac":"02:00:5e:00:53:01","datapath":"telepathy"}}}"#;
    let nic = crate::NicStatus {
        pci_address: "0000:00:03.0".parse().unwrap(),
        mac: "02:00:5e:00:53:01".parse().unwrap(),
        datapath: crate::Datapath::Unknown,
    };
    let status_read = crate::Status {
        version: 1,
        name: "a".to_owned(),
        pidfd: crate::Fd(0),
        uptime_us: 1,
        memory_bytes: 4096,
        processors: 1,
        disks: std::collections::BTreeMap::new(),
        shares: std::collections::BTreeMap::new(),
        nics: [("eth0".parse().unwrap(), nic)].into(),
        vfio: std::collections::BTreeMap::new(),
        later_functions: std::collections::BTreeSet::new(),
        exits: std::collections::BTreeMap::new(),
    };
    check_reads_as(status, Some(Reply::Status(status_read)));
    check_reads_as(r#"{"reply":"migrated"}"#, None);
    check_reads_as("garbage", None);
}

#[test]
fn request_with_an_unknown_field_is_refused() {
    let (left, right) = pair();
    let json = br#"{"request":"remove-device","pci_address":"0000:00:03.0","force":true}"#;
    rustix::net::send(&left, json, SendFlags::empty()).unwrap();
    assert!(matches!(
        receive::<Request>(&right),
        Err(ReceiveError::Form(_))
    ));
}
