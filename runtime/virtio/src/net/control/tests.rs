//! Commands as a driver gives them.

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::test_driver::{Piece, into, link::ActiveLane, memory, out};

const COMMAND: u64 = 0x2_0000;
const DATA: u64 = 0x2_1000;
const ANSWER: u64 = 0x2_2000;

/// Gives one command in these pieces; the answer, the bytes written, and what was asked of the device.
fn give(command: [u8; 2], data: &[u8], pieces: &[Piece]) -> (u8, u32, Vec<u16>) {
    let memory = memory();
    let (mut lane, queue) = ActiveLane::new(&memory, 0x1_0000, 16);
    let mut control = Control::new(4, &memory, queue);
    for (address, bytes) in [(COMMAND, &command[..]), (DATA, data), (ANSWER, &[0xee])] {
        let written = memory.write_slice(bytes, GuestAddress(address));
        written.expect("in memory");
    }
    lane.driver.request(pieces);
    let mut asked = Vec::new();
    let more = control.serve(|pairs| {
        asked.push(pairs);
        pairs == 2
    });
    assert!(!more.expect("a sound ring"));
    assert_eq!(lane.interrupts.count(), 1);
    let mut answer = [0];
    let read = memory.read_slice(&mut answer, GuestAddress(ANSWER));
    read.expect("in memory");
    let (_head, written) = lane.driver.take_used().expect("every command is answered");
    (answer[0], written, asked)
}

#[test]
fn number_of_pairs_is_passed_on_and_its_answer_back() {
    let whole = [out(COMMAND, 2), out(DATA, 2), into(ANSWER, 1)];
    assert_eq!(give([4, 0], &[2, 0], &whole), (0, 1, vec![2]));
    assert_eq!(give([4, 0], &[3, 0], &whole), (1, 1, vec![3]));
    assert_eq!(give([4, 0], &[0, 0x80], &whole), (1, 1, vec![0x8000]));
    let cut = [
        out(COMMAND, 1),
        out(COMMAND + 1, 1),
        out(DATA, 1),
        out(DATA + 1, 1),
        into(ANSWER, 1),
    ];
    assert_eq!(give([4, 0], &[2, 0], &cut), (0, 1, vec![2]));
}

#[test]
fn command_that_is_none_of_ours_is_an_error() {
    let whole = [out(COMMAND, 2), out(DATA, 2), into(ANSWER, 1)];
    for command in [[0, 0], [4, 1], [1, 0], [5, 0], [0xff, 0xff]] {
        assert_eq!(give(command, &[2, 0], &whole), (1, 1, vec![]));
    }
    let short = [out(COMMAND, 2), out(DATA, 1), into(ANSWER, 1)];
    assert_eq!(give([4, 0], &[2], &short), (1, 1, vec![]));
    let long = [out(COMMAND, 2), out(DATA, 3), into(ANSWER, 1)];
    assert_eq!(give([4, 0], &[2, 0, 0], &long), (1, 1, vec![]));
    assert_eq!(give([4, 0], &[], &[into(ANSWER, 1)]), (1, 1, vec![]));
}

#[test]
fn command_without_room_for_an_answer_is_given_back() {
    let pieces = [out(COMMAND, 2), out(DATA, 2)];
    assert_eq!(give([4, 0], &[2, 0], &pieces), (0xee, 0, vec![2]));
}

#[test]
fn commands_beyond_a_run_s_share_wait_for_the_next() {
    let memory = memory();
    let (mut lane, queue) = ActiveLane::new(&memory, 0x1_0000, 16);
    let mut control = Control::new(2, &memory, queue);
    for _ in 0..6 {
        lane.driver.request(&[out(COMMAND, 2), into(ANSWER, 1)]);
    }
    assert!(control.serve(|_| true).expect("a sound ring"));
    assert!(!control.serve(|_| true).expect("a sound ring"));
    assert_eq!(std::iter::from_fn(|| lane.driver.take_used()).count(), 6);
    lane.driver.set_available_index(40);
    let error = control.serve(|_| true).expect_err("broken");
    assert!(
        matches!(error, BackendError::Queue { queue: 2, .. }),
        "{error}"
    );
}
