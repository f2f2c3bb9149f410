//! Exit codes as a shell counts them.

use super::ExitStatus;

#[test]
fn shell_code_of_each_ending() {
    let check = |status: ExitStatus, code: u8| assert_eq!(status.shell_code(), code);
    check(ExitStatus::Exited(0), 0);
    check(ExitStatus::Exited(255), 255);
    check(ExitStatus::Signaled(9), 137);
    check(ExitStatus::Signaled(64), 192);
    check(ExitStatus::Signaled(200), 255);
    check(ExitStatus::OutOfMemory { code: 137 }, 137);
}
