//! Tests of what is said about an end and a refusal. The loop itself is tested with real monitors, in `vm-client`.

use machine::board::Stop;

use super::*;

fn check_bounded(text: &str, length: usize) {
    let bounded = bounded(text.to_owned());
    assert_eq!(bounded.len(), length);
    assert!(text.starts_with(&bounded));
}

#[test]
fn text_is_cut_between_characters() {
    check_bounded("", 0);
    check_bounded("short", 5);
    check_bounded(&"x".repeat(limits::TEXT_BYTES + 1), limits::TEXT_BYTES);
    check_bounded(
        &format!("{}ü", "x".repeat(limits::TEXT_BYTES - 1)),
        limits::TEXT_BYTES - 1,
    );
}

fn check_cause(stop: Stop, reason: EndReason) {
    let cause = Cause::from(stop);
    assert_eq!(cause.reason, reason);
    assert_eq!(cause.text, stop.to_string());
}

#[test]
fn every_stop_of_the_board_has_its_reason() {
    check_cause(Stop::PowerOff, EndReason::PowerOff);
    check_cause(Stop::Reset, EndReason::Reset);
    check_cause(Stop::GuestPanic, EndReason::GuestPanic);
    check_cause(Stop::TripleFault, EndReason::TripleFault);
    check_cause(Stop::InternalError { kind: 1 }, EndReason::InternalError);
    check_cause(Stop::FailedEntry { reason: 7 }, EndReason::InternalError);
    check_cause(Stop::UnexpectedExit { reason: 9 }, EndReason::InternalError);
}
