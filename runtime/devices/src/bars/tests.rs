//! `resource` files as kernels write them, and broken ones.

use proptest::prelude::*;

use super::*;

/// A GPU of the B200's kind: 64 MiB, 256 GiB and 32 MiB, all of 64 bits and prefetchable.
const LARGE_GPU: &str = "\
0x000022c000000000 0x000022c003ffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000228000000000 0x000022bfffffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x000022c004000000 0x000022c005ffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000000 0x0000000000000000
";

/// One of the L40S' kind: registers of 32 bits, not prefetchable; I/O ports; a ROM.
const OLDER_GPU: &str = "\
0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200
0x000021e000000000 0x000021efffffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x000021f000000000 0x000021f001ffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000003000 0x000000000000307f 0x0000000000040101
0x00000000a1000000 0x00000000a107ffff 0x0000000000046200
";

fn check(text: &str, expect: &[(u8, u64, Width, bool)]) {
    let found: Vec<_> = parse(text)
        .unwrap()
        .into_iter()
        .map(|bar| (bar.index, bar.size, bar.width, bar.prefetchable))
        .collect();
    assert_eq!(found, expect);
}

#[test]
fn bars_of_gpus_have_sizes_widths_and_prefetching() {
    use Width::{Bits32, Bits64};
    check(
        LARGE_GPU,
        &[
            (0, 64 << 20, Bits64, true),
            (2, 256 << 30, Bits64, true),
            (4, 32 << 20, Bits64, true),
        ],
    );
    check(
        OLDER_GPU,
        &[
            (0, 16 << 20, Bits32, false),
            (1, 64 << 30, Bits64, true),
            (3, 32 << 20, Bits64, true),
        ],
    );
    check("", &[]);
}

#[test]
fn bars_malformed_are_named() {
    let check = |text: &str, expect: &str| assert_eq!(parse(text).unwrap_err().to_string(), expect);
    check("0x0 0x1", "line \"0x0 0x1\" is not start, end and flags");
    check("1 2 3", "line \"1 2 3\" is not start, end and flags");
    check(
        "0x1000 0x2fff 0x200\n0x1000 0x3fff 0x200",
        "BAR 1 has 0x3000 bytes, which is no size of a BAR",
    );
    check(
        "0x2000 0x1fff 0x200",
        "BAR 0 has 0x0 bytes, which is no size of a BAR",
    );
}

proptest! {
    #[test]
    fn bars_of_any_text_never_panic(text in "[0x1f \n-]{0,200}") {
        drop(parse(&text));
    }
}
