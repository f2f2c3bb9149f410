//! Tests of the byte ring against a plain queue.

use std::{
    collections::VecDeque,
    os::{fd::AsFd, unix::net::UnixStream},
};

use proptest::prelude::*;

use super::*;

/// What a test does to the ring.
#[derive(Debug, Clone)]
enum Step {
    In(usize),
    Out(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_usize..40).prop_map(Step::In),
        (0_usize..40).prop_map(Step::Out)
    ]
}

proptest! {
    #[test]
    fn backlog_of_any_steps_behaves_as_a_queue(steps in prop::collection::vec(step(), 0..200)) {
        let mut backlog = Backlog::new(64);
        let mut model = VecDeque::new();
        let mut next = 0_u8;
        for step in steps {
            match step {
                Step::In(count) => {
                    let count = count.min(64 - model.len());
                    let data: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let (first, second) = backlog.room(count);
                    first.copy_from_slice(&data[..first.len()]);
                    second.copy_from_slice(&data[data.len() - second.len()..]);
                    backlog.length += count;
                    model.extend(data);
                }
                Step::Out(count) => {
                    let (first, second) = backlog.waiting(count);
                    let got = [first, second].concat();
                    let expect: Vec<u8> = model.drain(..count.min(model.len())).collect();
                    prop_assert_eq!(&got, &expect);
                    backlog.drop_front(got.len());
                }
            }
            prop_assert_eq!(backlog.len(), model.len());
            prop_assert_eq!(backlog.is_empty(), model.is_empty());
        }
    }
}

#[test]
fn backlog_unused_has_no_memory() {
    let mut backlog = Backlog::new(256 * 1024);
    assert!(backlog.bytes.is_empty());
    assert_eq!(backlog.waiting(10), ([].as_slice(), [].as_slice()));
    backlog.room(1);
    assert_eq!(backlog.bytes.len(), 256 * 1024);
    backlog.discard();
    assert!(backlog.bytes.is_empty());
}

#[test]
fn backlog_from_socket_to_socket_keeps_the_bytes() {
    let (left, host) = UnixStream::pair().expect("a socket pair");
    let (host_out, right) = UnixStream::pair().expect("a socket pair");
    rustix::net::send(&left, b"hello, guest", SendFlags::empty()).expect("send");
    let mut backlog = Backlog::new(1024);
    let received = backlog.receive(host.as_fd(), 5).expect("receive");
    assert_eq!((received, backlog.len()), (5, 5));
    assert_eq!(backlog.send(host_out.as_fd()).expect("send"), 5);
    assert!(backlog.is_empty());
    let mut got = [0; 16];
    let (_, length) = rustix::net::recv(&right, &mut got, RecvFlags::empty()).expect("receive");
    assert_eq!(&got[..length], b"hello");
    drop(left);
    assert_eq!(
        backlog.receive(host.as_fd(), 100).expect("the rest"),
        " guest,".len()
    );
    assert_eq!(backlog.receive(host.as_fd(), 100).expect("the end"), 0);
}
