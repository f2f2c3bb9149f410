//! Who waits for whom.

use super::*;

fn pod(name: &str) -> PodId {
    name.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn turn_on_one_pod_keeps_out_the_next_on_it_and_no_other() {
    let turns = Turns::new(Duration::from_secs(1));
    let first = turns.take(&pod("a")).await.unwrap();
    turns.take(&pod("a")).await.unwrap_err();
    turns.take(&pod("b")).await.unwrap();
    drop(first);
    turns.take(&pod("a")).await.unwrap();
    assert!(turns.pods().locks.len() <= 2, "forgotten locks are kept");
}

#[tokio::test(start_paused = true)]
async fn turn_on_all_pods_waits_for_each() {
    let turns = Turns::new(Duration::from_secs(1));
    let one = turns.take(&pod("a")).await.unwrap();
    turns.take_all().await.unwrap_err();
    drop(one);
    let all = turns.take_all().await.unwrap();
    turns.take(&pod("b")).await.unwrap_err();
    drop(all);
    turns.take(&pod("b")).await.unwrap();
}

#[test]
fn pod_is_owned_until_it_is_disowned() {
    let turns = Turns::new(Duration::from_secs(1));
    turns.own(&pod("a"));
    assert!(turns.is_owned(&pod("a")));
    assert!(!turns.is_owned(&pod("b")));
    turns.disown(&pod("a"));
    assert!(!turns.is_owned(&pod("a")));
}
