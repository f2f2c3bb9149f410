//! Which vector rings, and what the registers say.

use super::*;
use crate::test_driver::Counter;

fn signals() -> (Signals, Vec<Arc<Counter>>) {
    let counters: Vec<Arc<Counter>> = (0..3).map(|_| Arc::default()).collect();
    let vectors = counters.iter().map(|counter| {
        let vector: Arc<dyn Interrupt> = Arc::<Counter>::clone(counter);
        vector
    });
    (Signals::new(vectors.collect(), 2), counters)
}

fn counts(counters: &[Arc<Counter>]) -> Vec<u32> {
    counters.iter().map(|counter| counter.count()).collect()
}

#[test]
fn signal_with_a_vector_rings_just_that() {
    let (signals, counters) = signals();
    let queue = signals.queue(1).expect("there are two");
    signals.choose_for_queue(1, 2).expect("no wire");
    signals.choose_for_queue(0, 1).expect("no wire");
    queue.0.trigger();
    assert_eq!(counts(&counters), [0, 0, 1]);
    // Chosen anew while a backend holds the notifier.
    signals.choose_for_queue(1, 0).expect("no wire");
    queue.0.trigger();
    assert_eq!(counts(&counters), [1, 0, 1]);
    assert_eq!(signals.take_isr(), 0);
    assert!(signals.queue(2).is_none());
}

#[test]
fn signal_without_a_vector_says_so_in_the_isr_register() {
    let (signals, counters) = signals();
    signals.queue(0).expect("there are two").0.trigger();
    assert_eq!(counts(&counters), [0, 0, 0]);
    assert_eq!(signals.take_isr(), 1);
    assert_eq!(signals.take_isr(), 0);
}

#[test]
fn signal_of_configuration_changes_the_generation() {
    let (signals, counters) = signals();
    signals.choose_for_config(0);
    let before = signals.generation();
    signals.config().0.trigger();
    assert_ne!(signals.generation(), before);
    assert_eq!(signals.take_isr(), 2);
    assert_eq!(counts(&counters), [1, 0, 0]);
}

#[test]
fn signals_reset_have_no_vectors() {
    let (signals, counters) = signals();
    signals.choose_for_config(0);
    signals.choose_for_queue(0, 1).expect("no wire");
    signals.reset();
    signals.config().0.trigger();
    signals.queue(0).expect("there are two").0.trigger();
    assert_eq!(counts(&counters), [0, 0, 0]);
    assert_eq!(signals.take_isr(), 3);
}
