//! Answers to exits, without KVM.

use super::{Board, Stop, Verdict};
use crate::{memory::Layout, processor::Exit};

fn board() -> Board {
    Board::new(&Layout::new(32 << 20).unwrap(), None)
}

fn check_write(port: u16, value: u8, expect: Verdict) {
    let exit = Exit::PortWrite {
        port,
        width: 1,
        data: &[value],
    };
    assert_eq!(board().answer(exit), expect, "{value:#x} to port {port:#x}");
}

fn check_read(port: u16, expect: u8) {
    let mut data = [0xff];
    let exit = Exit::PortRead {
        port,
        width: 1,
        data: &mut data,
    };
    assert_eq!(board().answer(exit), Verdict::Continue);
    assert_eq!(data, [expect], "port {port:#x}");
}

#[test]
fn ports_written_end_the_machine_when_they_should() {
    let stop = Verdict::Stop;
    check_write(0x600, 5 << 2 | 0x20, stop(Stop::PowerOff));
    check_write(0x600, 5 << 2, Verdict::Continue);
    check_write(0x600, 3 << 2 | 0x20, Verdict::Continue);
    check_write(0x602, 1, stop(Stop::Reset));
    check_write(0x602, 0, Verdict::Continue);
    check_write(0x64, 0xfe, stop(Stop::Reset));
    check_write(0x64, 0xd1, Verdict::Continue);
    check_write(0xcf9, 0x0e, stop(Stop::Reset));
    check_write(0xcf9, 0x02, Verdict::Continue);
    check_write(0x505, 1, stop(Stop::GuestPanic));
    check_write(0x505, 2, Verdict::Continue);
    check_write(0x80, 0, Verdict::Continue);
}

#[test]
fn ports_read_as_ones_where_nothing_is() {
    check_read(0x64, 0);
    check_read(0x505, 1);
    check_read(0x601, 0);
    check_read(0x60, 0xff);
    check_read(0xcf8, 0xff);
    check_read(0x3fd, 0x60); // The console can always send.
    check_read(0x2fd, 0xff);
}

#[test]
fn memory_reads_as_ones_where_nothing_is() {
    for address in [0xc000_0000, 0xe010_0000, 0xf000_0000, u64::MAX - 7] {
        let mut data = [0; 8];
        let exit = Exit::MemoryRead {
            address,
            data: &mut data,
        };
        assert_eq!(board().answer(exit), Verdict::Continue);
        assert_eq!(data, [0xff; 8], "{address:#x}");
        let exit = Exit::MemoryWrite {
            address,
            data: &data,
        };
        assert_eq!(board().answer(exit), Verdict::Continue);
    }
}

#[test]
fn exits_that_end_the_machine_say_why() {
    for (exit, expect) in [
        (Exit::Shutdown, Stop::TripleFault),
        (Exit::SystemEvent { kind: 1 }, Stop::PowerOff),
        (Exit::SystemEvent { kind: 2 }, Stop::Reset),
        (Exit::SystemEvent { kind: 3 }, Stop::GuestPanic),
        (
            Exit::InternalError { kind: 1 },
            Stop::InternalError { kind: 1 },
        ),
        (
            Exit::FailedEntry { reason: 7 },
            Stop::FailedEntry { reason: 7 },
        ),
        (
            Exit::Other { reason: 9 },
            Stop::UnexpectedExit { reason: 9 },
        ),
        (Exit::Halt, Stop::UnexpectedExit { reason: 5 }),
    ] {
        assert_eq!(board().answer(exit), Verdict::Stop(expect));
        assert!(!expect.to_string().is_empty());
    }
}

#[test]
fn console_tail_keeps_the_last_16_kib() {
    let board = board();
    for chunk in 0..20_u8 {
        let exit = Exit::PortWrite {
            port: 0x3f8,
            width: 1,
            data: &[b'a' + chunk; 1024],
        };
        assert_eq!(board.answer(exit), Verdict::Continue);
    }
    let tail = board.console_tail();
    assert_eq!(tail.len(), 16 << 10);
    assert_eq!((tail[0], tail[tail.len() - 1]), (b'e', b't'));
}
