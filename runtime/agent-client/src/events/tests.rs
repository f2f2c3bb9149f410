//! Events of an agent that does not keep to the protocol.

use super::*;

#[test]
fn impossible_end_of_a_process_is_a_broken_protocol() {
    let check = |exit_code: u32, signal: u32, expect: Option<ProcessEnd>| {
        let exited = wire::ProcessExited {
            exit_code,
            signal,
            ..Default::default()
        };
        let what = Some(wire::event::What::ProcessExited(exited));
        let got = match checked(wire::Event {
            what,
            ..Default::default()
        }) {
            Ok(Event::ProcessExited { end, .. }) => Some(end),
            _ => None,
        };
        assert_eq!(got, expect, "{exit_code} {signal}");
    };
    check(0, 0, Some(ProcessEnd::Exited(0)));
    check(255, 0, Some(ProcessEnd::Exited(255)));
    check(0, 9, Some(ProcessEnd::Signaled(9)));
    check(256, 0, None);
    check(0, 65, None);
    check(0, 1000, None);
    assert!(checked(wire::Event::default()).is_err());
}
