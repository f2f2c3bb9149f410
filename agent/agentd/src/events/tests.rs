//! What a host that comes back is told.

use super::*;

fn journal(containers: &[&str]) -> Journal {
    let mut journal = Journal::new();
    for container in containers {
        journal.out_of_memory(container, 1);
    }
    journal
}

fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

#[test]
fn events_after_a_number_come_in_order() {
    let journal = journal(&["a", "b", "a"]);
    let check = |after: u64, expect: &[u64]| assert_eq!(sequences(&journal.after(after)), expect);
    check(0, &[1, 2, 3]);
    check(2, &[3]);
    check(3, &[]);
    check(99, &[]);
}

#[test]
fn removed_container_is_forgotten_and_numbers_go_on() {
    let mut journal = journal(&["a", "b", "a"]);
    journal.forget("a");
    assert_eq!(sequences(&journal.after(0)), [2]);
    journal.out_of_memory("c", 1);
    assert_eq!(sequences(&journal.after(0)), [2, 4]);
    assert_eq!(*journal.newest().borrow(), 4);
}

#[test]
fn journal_keeps_its_newest() {
    let mut journal = journal(&[]);
    for _ in 0..MAX_EVENTS + 10 {
        journal.out_of_memory("a", 1);
    }
    assert_eq!(journal.kept.len(), MAX_EVENTS);
    assert_eq!(journal.after(0).first().unwrap().sequence, 11);
    assert_eq!(journal.after(0).len(), EVENTS_PER_BATCH);
}
