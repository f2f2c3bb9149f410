//! The VM is larger than what runs in it.

use super::VmSize;

#[test]
fn vm_for_containers_has_overhead_on_top() {
    let check = |memory: u32, overhead: u32, expect: u32| {
        assert_eq!(
            VmSize::for_containers(1, memory, overhead).memory_mib,
            expect
        );
    };
    check(128, 64, 195);
    check(6300, 64, 6465);
    check(u32::MAX, 64, u32::MAX);
}
