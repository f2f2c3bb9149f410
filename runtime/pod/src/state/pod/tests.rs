//! Every pod is torn down exactly once, whatever happens in whatever order.

use super::*;

const FACTS: [Fact; 5] = [
    Fact::StopAsked,
    Fact::Silent,
    Fact::GuestEnded,
    Fact::TornDown,
    Fact::RemoveAsked,
];

#[test]
fn life_of_a_pod_that_is_stopped_and_removed() {
    let check = |phase, fact, expect| assert_eq!(next(phase, fact), expect);
    check(
        Phase::Running,
        Fact::StopAsked,
        (Phase::Silencing, Deed::Silence),
    );
    check(
        Phase::Silencing,
        Fact::StopAsked,
        (Phase::Silencing, Deed::None),
    );
    check(
        Phase::Silencing,
        Fact::Silent,
        (Phase::TearingDown, Deed::TearDown),
    );
    check(
        Phase::TearingDown,
        Fact::GuestEnded,
        (Phase::TearingDown, Deed::None),
    );
    check(
        Phase::TearingDown,
        Fact::TornDown,
        (Phase::Stopped, Deed::None),
    );
    check(
        Phase::Stopped,
        Fact::StopAsked,
        (Phase::Stopped, Deed::None),
    );
    check(Phase::Stopped, Fact::RemoveAsked, (Phase::Gone, Deed::End));
}

#[test]
fn guest_that_ends_by_itself_is_torn_down_and_kept() {
    assert_eq!(
        next(Phase::Running, Fact::GuestEnded),
        (Phase::TearingDown, Deed::TearDown)
    );
    assert_eq!(
        next(Phase::Silencing, Fact::GuestEnded),
        (Phase::TearingDown, Deed::TearDown)
    );
}

#[test]
fn pod_that_is_not_stopped_is_not_removed() {
    for phase in [Phase::Running, Phase::Silencing, Phase::TearingDown] {
        assert_eq!(next(phase, Fact::RemoveAsked), (phase, Deed::None));
    }
}

#[test]
fn any_order_of_facts_tears_down_at_most_once() {
    // All sequences of seven facts.
    for mut code in 0..5_usize.pow(7) {
        let mut phase = Phase::Running;
        let (mut teardowns, mut ends) = (0, 0);
        for _ in 0..7 {
            let (after, deed) = next(phase, FACTS[code % 5]);
            code /= 5;
            teardowns += usize::from(deed == Deed::TearDown);
            ends += usize::from(deed == Deed::End);
            assert!(after != Phase::Stopped || teardowns == 1);
            phase = after;
        }
        assert!(teardowns <= 1 && ends <= 1);
        assert_eq!(ends == 1, phase == Phase::Gone);
    }
}
