//! Every write from every state.

use super::*;

fn check(current: u8, written: u8, expected: Step) {
    assert_eq!(
        step(current, written, true),
        expected,
        "{current:#x} <- {written:#x}"
    );
}

#[test]
fn status_set_in_order_goes_on() {
    check(0, 1, Step::To(1));
    check(1, 3, Step::To(3));
    check(3, 0xb, Step::To(0xb));
    check(0xb, 0xf, Step::Start(0xf));
    check(0xf, 0xf, Step::To(0xf));
    // Both at once, as small drivers do.
    check(0, 3, Step::To(3));
}

#[test]
fn status_set_out_of_order_is_refused() {
    for (current, written) in [
        (0, 2),
        (0, 4),
        (0, 8),
        (1, 9),
        // No DRIVER_OK without FEATURES_OK, nor both at once.
        (3, 7),
        (3, 0xf),
        (1, 0xf),
        // Bits that don't exist.
        (3, 0x13),
        (3, 0x23),
    ] {
        check(current, written, Step::Refused);
    }
}

#[test]
fn status_with_bits_taken_away_is_refused() {
    for (current, written) in [(0xf, 0xb), (0xf, 1), (0xb, 3), (3, 1), (3, 2)] {
        check(current, written, Step::Refused);
    }
}

#[test]
fn status_with_features_that_do_not_fit_keeps_features_ok_clear() {
    assert_eq!(step(3, 0xb, false), Step::Refused);
    assert_eq!(step(1, 3, false), Step::To(3));
}

#[test]
fn status_zero_resets_from_anywhere() {
    for current in 0..=u8::MAX {
        check(current, 0, Step::Reset);
    }
}

#[test]
fn status_failed_leaves_only_the_reset() {
    for current in STAGES {
        check(current, current | FAILED, Step::To(current | FAILED));
        check(current | FAILED, current | FAILED, Step::Refused);
        check(current | FAILED, 0xf | FAILED, Step::Refused);
    }
}

#[test]
fn status_with_needs_reset_written_back_ignores_the_bit() {
    check(1, 3 | NEEDS_RESET, Step::To(3));
    check(0xf, 0xf | NEEDS_RESET, Step::To(0xf));
    check(0, NEEDS_RESET, Step::To(0));
}
