//! Guest RAM is not the monitor's.

use super::anonymous;

#[test]
fn guest_memory_is_left_out() {
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
    assert_eq!(anonymous(smaps, 262_144), 24);
}
