//! Every pod is torn down exactly once, whatever happens in whatever order.

use super::*;

const FACTS: [Fact; 3] = [Fact::StopAsked, Fact::GuestEnded, Fact::TornDown];

#[test]
fn life_of_a_pod_that_is_stopped() {
    let check = |phase, fact, expect| assert_eq!(next(phase, fact), expect);
    check(
        Phase::Running,
        Fact::StopAsked,
        (Phase::Stopping, Deed::TearDown),
    );
    check(
        Phase::Stopping,
        Fact::GuestEnded,
        (Phase::Stopping, Deed::None),
    );
    check(Phase::Stopping, Fact::TornDown, (Phase::Gone, Deed::End));
}

#[test]
fn any_order_of_facts_tears_down_at_most_once() {
    // All sequences of six facts.
    for mut code in 0..3_usize.pow(6) {
        let mut phase = Phase::Running;
        let mut teardowns = 0;
        for _ in 0..6 {
            let (after, deed) = next(phase, FACTS[code % 3]);
            code /= 3;
            teardowns += usize::from(deed == Deed::TearDown);
            assert!(after != Phase::Gone || phase == Phase::Stopping || phase == Phase::Gone);
            phase = after;
        }
        assert!(teardowns <= 1);
        assert_eq!(
            teardowns == 1,
            matches!(phase, Phase::Stopping | Phase::Gone)
        );
    }
}
