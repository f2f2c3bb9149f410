//! A container runs at most once, and every end is told once.

use super::*;

const END: End = End {
    at_ns: 20,
    status: ExitStatus::Exited(3),
};

fn exit(started_at_ns: Option<i64>, finished_at_ns: i64, cause: ExitCause) -> Exit {
    Exit {
        started_at_ns,
        finished_at_ns,
        cause,
    }
}

fn ended() -> Exit {
    exit(Some(10), 20, ExitCause::Ended(ExitStatus::Exited(3)))
}

fn lost_fact() -> Fact {
    Fact::Lost {
        at_ns: 30,
        message: "gone".to_owned(),
    }
}

fn check(stage: Stage, fact: Fact, expect: (Stage, Deed)) {
    assert_eq!(next(stage, fact), Ok(expect));
}

#[test]
fn life_of_a_container() {
    check(
        Stage::Created,
        Fact::StartAsked,
        (Stage::Starting { ended: None }, Deed::Start),
    );
    check(
        Stage::Starting { ended: None },
        Fact::Started { at_ns: 10 },
        (Stage::Running { started_at_ns: 10 }, Deed::None),
    );
    check(
        Stage::Running { started_at_ns: 10 },
        Fact::ProcessEnded(END),
        (Stage::Ending(ended()), Deed::Settle),
    );
    check(
        Stage::Ending(ended()),
        Fact::Settled,
        (Stage::Exited(ended()), Deed::None),
    );
    check(
        Stage::Exited(ended()),
        Fact::RemoveAsked,
        (Stage::Removing, Deed::Remove),
    );
    check(
        Stage::Created,
        Fact::RemoveAsked,
        (Stage::Removing, Deed::Remove),
    );
}

#[test]
fn end_that_overtakes_the_start_is_kept() {
    let early = Stage::Starting { ended: Some(END) };
    check(
        Stage::Starting { ended: None },
        Fact::ProcessEnded(END),
        (early.clone(), Deed::None),
    );
    check(
        early,
        Fact::Started { at_ns: 10 },
        (Stage::Ending(ended()), Deed::Settle),
    );
}

#[test]
fn container_never_ends_before_it_started() {
    let at = |started, finished| {
        let cause = ExitCause::Ended(ExitStatus::Exited(3));
        (
            Stage::Ending(exit(Some(started), finished, cause)),
            Deed::Settle,
        )
    };
    // The guest's clock is behind.
    check(
        Stage::Running { started_at_ns: 50 },
        Fact::ProcessEnded(END),
        at(50, 50),
    );
    // The answer to the start came late.
    check(
        Stage::Starting { ended: Some(END) },
        Fact::Started { at_ns: 50 },
        at(20, 20),
    );
}

#[test]
fn failed_start_ends_the_container() {
    let message = "no such file".to_owned();
    let cause = ExitCause::NotStarted {
        message: message.clone(),
    };
    check(
        Stage::Starting { ended: None },
        Fact::StartFailed { at_ns: 20, message },
        (Stage::Ending(exit(None, 20, cause)), Deed::Settle),
    );
}

#[test]
fn guest_that_is_gone_ends_every_container() {
    let gone = |started| {
        let message = "gone".to_owned();
        Stage::Exited(exit(started, 30, ExitCause::Lost { message }))
    };
    check(Stage::Created, lost_fact(), (gone(None), Deed::None));
    check(
        Stage::Running { started_at_ns: 10 },
        lost_fact(),
        (gone(Some(10)), Deed::None),
    );
    // What is known of the end is not forgotten.
    check(
        Stage::Ending(ended()),
        lost_fact(),
        (Stage::Exited(ended()), Deed::None),
    );
    check(
        Stage::Exited(ended()),
        lost_fact(),
        (Stage::Exited(ended()), Deed::None),
    );
}

#[test]
fn what_can_not_be_done_is_refused_and_changes_nothing() {
    for stage in [
        Stage::Starting { ended: None },
        Stage::Running { started_at_ns: 10 },
        Stage::Ending(ended()),
    ] {
        for fact in [Fact::StartAsked, Fact::RemoveAsked] {
            let (after, _) = next(stage.clone(), fact).unwrap_err();
            assert_eq!(after, stage);
        }
    }
    let again = next(Stage::Exited(ended()), Fact::StartAsked).unwrap_err();
    assert_eq!(again.1.because, "it has ended; a container runs once");
}

#[test]
fn any_order_of_facts_starts_and_settles_at_most_once() {
    let facts = [
        Fact::StartAsked,
        Fact::Started { at_ns: 10 },
        Fact::ProcessEnded(END),
        Fact::Settled,
        lost_fact(),
        Fact::RemoveAsked,
    ];
    for mut code in 0..facts.len().pow(6) {
        let mut stage = Stage::Created;
        let mut deeds = Vec::new();
        for _ in 0..6 {
            let fact = facts[code % facts.len()].clone();
            code /= facts.len();
            stage = match next(stage, fact) {
                Ok((after, deed)) => {
                    deeds.push(deed);
                    after
                }
                Err((after, _)) => after,
            };
        }
        for deed in [Deed::Start, Deed::Settle, Deed::Remove] {
            assert!(deeds.iter().filter(|done| **done == deed).count() <= 1);
        }
    }
}
