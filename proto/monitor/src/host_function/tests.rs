//! Its descriptors.

use super::*;

#[test]
fn function_comes_with_its_two_descriptors() {
    let check = |container: u8, group: u8, fds: usize, expect: Result<(), Invalid>| {
        let function = HostFunction {
            host_address: "0000:41:00.0".parse().unwrap(),
            container: Fd(container),
            group: Fd(group),
        };
        assert_eq!(function.check(fds), expect);
    };
    check(0, 1, 2, Ok(()));
    check(1, 0, 2, Ok(()));
    check(0, 0, 1, Err(Invalid::FdTwice { slot: 0 }));
    check(0, 1, 1, Err(Invalid::FdMissing { slot: 1, count: 1 }));
    check(0, 1, 3, Err(Invalid::FdUnused { slot: 2 }));
}
