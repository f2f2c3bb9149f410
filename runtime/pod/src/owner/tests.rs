//! Exits as the agent reports them.

use super::*;

#[test]
fn exit_reported_by_the_agent_becomes_a_status() {
    let check = |exit_code: u32, signal: u32, out_of_memory: bool, expect: Option<ExitStatus>| {
        let exited = ProcessExited {
            exit_code,
            signal,
            out_of_memory,
            ..Default::default()
        };
        assert_eq!(status_of(&exited).ok(), expect);
    };
    check(0, 0, false, Some(ExitStatus::Exited(0)));
    check(3, 0, false, Some(ExitStatus::Exited(3)));
    check(0, 15, false, Some(ExitStatus::Signaled(15)));
    check(0, 9, true, Some(ExitStatus::OutOfMemory { code: 137 }));
    check(1, 0, true, Some(ExitStatus::OutOfMemory { code: 1 }));
    // A child was killed for memory and the first process coped with it.
    check(0, 0, true, Some(ExitStatus::Exited(0)));
    check(256, 0, false, None);
    check(0, 999, false, None);
}
