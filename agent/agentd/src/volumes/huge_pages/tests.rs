//! What the kernel has set aside against what is asked for.

use super::*;

fn plan(page_bytes: u64, bytes: u64) -> HugePagesPlan {
    let mut wire = wire::HugePages::new();
    wire.page_bytes = page_bytes;
    wire.bytes = bytes;
    HugePagesPlan::parse(&wire).unwrap()
}

#[test]
fn pool_that_is_missing_or_small_is_said() {
    let pools = tempfile::tempdir().unwrap();
    let check = |plan: &HugePagesPlan, expect: Option<&str>| {
        let checked = plan.check(pools.path()).map_err(|fault| fault.message);
        match (checked, expect) {
            (Ok(()), None) => {}
            (Err(message), Some(words)) => assert!(message.contains(words), "{message}"),
            other => panic!("{other:?}"),
        }
    };
    let small = 2 << 20;
    check(&plan(small, small), Some("no huge pages of 2048 KiB"));
    let pool = pools.path().join("hugepages-2048kB");
    fs::create_dir(&pool).unwrap();
    fs::write(pool.join("nr_hugepages"), "3\n").unwrap();
    check(&plan(small, 3 * small), None);
    check(&plan(small, 4 * small), Some("6291456 bytes of huge pages"));
    check(
        &plan(1 << 30, 1 << 30),
        Some("no huge pages of 1048576 KiB"),
    );
    fs::write(pool.join("nr_hugepages"), "many\n").unwrap();
    check(&plan(small, small), Some("read how many"));
}

#[test]
fn sizes_and_modes_that_can_not_be_are_invalid() {
    for page_bytes in [0, 512, 3 << 20] {
        let mut wire = wire::HugePages::new();
        wire.page_bytes = page_bytes;
        let fault = HugePagesPlan::parse(&wire).unwrap_err();
        assert!(
            fault.message.contains("is a power of two"),
            "{}",
            fault.message
        );
    }
    let mut wire = wire::HugePages::new();
    wire.page_bytes = 2 << 20;
    wire.root.mut_or_insert_default().mode = 0o10_0000;
    let fault = HugePagesPlan::parse(&wire).unwrap_err();
    assert!(
        fault.message.contains("the mode 100000"),
        "{}",
        fault.message
    );
}
