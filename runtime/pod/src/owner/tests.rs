//! Exits as the agent reports them.

use super::*;

#[test]
fn exit_reported_by_the_agent_becomes_a_status() {
    let check = |end, out_of_memory, expect| assert_eq!(status_of(end, out_of_memory), expect);
    check(ProcessEnd::Exited(0), false, ExitStatus::Exited(0));
    check(ProcessEnd::Exited(3), false, ExitStatus::Exited(3));
    check(ProcessEnd::Signaled(15), false, ExitStatus::Signaled(15));
    check(
        ProcessEnd::Signaled(9),
        true,
        ExitStatus::OutOfMemory { code: 137 },
    );
    check(
        ProcessEnd::Exited(1),
        true,
        ExitStatus::OutOfMemory { code: 1 },
    );
    // A child was killed for memory and the first process coped with it.
    check(ProcessEnd::Exited(0), true, ExitStatus::Exited(0));
}
