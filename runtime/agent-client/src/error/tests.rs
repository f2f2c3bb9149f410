//! Statuses become kinds; sentences become safe.

use super::*;

#[test]
fn status_of_each_code_becomes_its_kind() {
    let check = |code: ttrpc::Code, expect: &str| {
        let error = ttrpc::Error::RpcStatus(ttrpc::get_status(code, "why"));
        let error = AgentError::from_ttrpc("Hello", Duration::from_secs(3), error);
        assert!(format!("{error:?}").starts_with(expect), "{error:?}");
    };
    check(ttrpc::Code::NOT_FOUND, "NotFound");
    check(ttrpc::Code::FAILED_PRECONDITION, "Precondition");
    check(ttrpc::Code::INVALID_ARGUMENT, "Invalid");
    check(ttrpc::Code::ALREADY_EXISTS, "Exists");
    check(ttrpc::Code::DEADLINE_EXCEEDED, "Late");
    check(ttrpc::Code::INTERNAL, "Failed");
    check(ttrpc::Code::UNKNOWN, "Failed");
}

#[test]
fn sentence_of_a_guest_is_cut_and_has_no_control_characters() {
    assert_eq!(shown("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    assert_eq!(
        shown(&"é".repeat(5000)).chars().count(),
        limits::SENTENCE_CHARS
    );
}
