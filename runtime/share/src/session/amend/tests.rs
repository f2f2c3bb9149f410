//! What becomes of messages with flags and umasks.

use super::*;

/// A message with these fields of 32 bits behind its header.
fn message(fields: &[u32]) -> Vec<u8> {
    let mut message = vec![0xff; BODY];
    for field in fields {
        message.extend(field.to_le_bytes());
    }
    message
}

fn check(opcode: u32, fields: &[u32], terms: Terms, amended: &[u32]) {
    let mut request = message(fields);
    assert_eq!(amend(&mut request, opcode), terms, "{opcode}");
    assert_eq!(request, message(amended), "{opcode}");
}

#[test]
fn direct_goes_and_other_flags_stay() {
    let others = !DIRECT;
    let plain = Terms::default;
    check(OPEN, &[u32::MAX, 7], plain(), &[others, 7]);
    let io = [1, 2, 3, 4, 5, 6, 7, 8, u32::MAX, 9];
    let amended = [1, 2, 3, 4, 5, 6, 7, 8, others, 9];
    check(READ, &io, plain(), &amended);
    check(WRITE, &io, plain(), &amended);
}

#[test]
fn umask_is_for_the_kernel() {
    let terms = |umask| Terms {
        umask,
        clears_set_ids: false,
    };
    check(MKDIR, &[0o777, 0o22], terms(0o22), &[0o777, 0]);
    check(MKNOD, &[0o666, 5, 0o77, 0], terms(0o77), &[0o666, 5, 0, 0]);
    let create = [DIRECT | 1, 0o666, u32::MAX, 4];
    check(CREATE, &create, terms(0o777), &[1, 0o666, 0, 4]);
}

#[test]
fn allocation_clears_set_ids() {
    let terms = Terms {
        umask: 0,
        clears_set_ids: true,
    };
    check(FALLOCATE, &[1, 2], terms, &[1, 2]);
}

#[test]
fn short_message_stays_as_it_is() {
    for opcode in [OPEN, READ, WRITE, MKNOD, MKDIR, CREATE] {
        check(opcode, &[], Terms::default(), &[]);
    }
    let mut header = vec![1; 20];
    assert_eq!(amend(&mut header, CREATE), Terms::default());
    assert_eq!(header, vec![1; 20]);
}
