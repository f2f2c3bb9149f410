//! Guest RAM is not the monitor's.

use super::{Anonymous, of};

#[test]
fn guest_memory_is_told_from_the_monitors() {
    let smaps = "\
55d0-55d1 r--p 0 00:00 0  /bin/x
Size:                  4 kB
Anonymous:             4 kB
7f00-7f01 rw-p 0 00:00 0
Size:             262144 kB
Anonymous:         81920 kB
7f02-7f03 rw-p 0 00:00 0  [stack]
Size:                132 kB
Anonymous:            20 kB
";
    let expected = Anonymous {
        guest: 81_920,
        own: 24,
    };
    assert_eq!(of(smaps, 262_144), expected);
}

#[test]
fn guest_memory_in_pieces_is_one() {
    let smaps = "\
7f00-7f10 rw-p 0 00:00 0
Size:              16384 kB
Anonymous:          1000 kB
7f10-7f20 rw-p 0 00:00 0
Size:              24576 kB
Anonymous:         24576 kB
7f20-8000 rw-p 0 00:00 0
Size:             221184 kB
Anonymous:           500 kB
8000-8001 ---p 0 00:00 0
Size:                  4 kB
Anonymous:             0 kB
8001-8002 rw-p 0 00:00 0
Size:                128 kB
Anonymous:            12 kB
";
    let expected = Anonymous {
        guest: 26_076,
        own: 12,
    };
    assert_eq!(of(smaps, 262_144), expected);
}
