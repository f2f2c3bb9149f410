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

/// A vector that says which wires lead to it.
#[derive(Debug, Default)]
struct Terminal(Mutex<Vec<Arc<Wire>>>);

impl Terminal {
    fn wires(&self) -> usize {
        self.0.lock().expect("not poisoned").len()
    }
}

impl Interrupt for Terminal {
    fn trigger(&self) {}

    fn join(&self, wire: &Arc<Wire>) -> io::Result<()> {
        let mut wires = self.0.lock().expect("not poisoned");
        assert!(!wires.iter().any(|other| Arc::ptr_eq(other, wire)));
        wires.push(Arc::clone(wire));
        Ok(())
    }

    fn part(&self, wire: &Arc<Wire>) {
        let mut wires = self.0.lock().expect("not poisoned");
        wires.retain(|other| !Arc::ptr_eq(other, wire));
    }
}

#[test]
fn wire_leads_where_the_driver_steers_its_queue() {
    let terminals: Vec<Arc<Terminal>> = (0..3).map(|_| Arc::default()).collect();
    let vectors = terminals.iter().map(|terminal| {
        let vector: Arc<dyn Interrupt> = Arc::<Terminal>::clone(terminal);
        vector
    });
    let signals = Signals::new(vectors.collect(), 2);
    let wires = || -> Vec<usize> { terminals.iter().map(|at| at.wires()).collect() };
    let choose = |queue, vector| {
        let chosen = signals.choose_for_queue(queue, vector);
        chosen.expect("they take wires");
    };
    let queues = [0, 1].map(|queue| signals.queue(queue).expect("there are two"));
    let wire = || Arc::new(Wire::new().expect("make a wire"));
    let (first, second) = (wire(), wire());
    choose(0, 1);
    queues[0].0.join(&first).expect("it takes wires");
    queues[1]
        .0
        .join(&second)
        .expect("kept for a vector to come");
    assert_eq!(wires(), [0, 1, 0]);
    choose(1, 1);
    assert_eq!(wires(), [0, 2, 0], "one vector for both");
    choose(0, 2);
    choose(0, 2);
    assert_eq!(wires(), [0, 1, 1]);
    choose(0, NO_VECTOR);
    assert_eq!(wires(), [0, 1, 0]);
    choose(0, 0);
    queues[1].0.part(&second);
    assert_eq!(wires(), [1, 0, 0]);
    choose(1, 2);
    signals.reset();
    assert_eq!(wires(), [0, 0, 0]);
    choose(0, 0);
    assert_eq!(wires(), [0, 0, 0], "the next driver's queues have none");
}

#[test]
fn wire_that_a_vector_does_not_take_is_an_error() {
    let (signals, _counters) = signals();
    let wire = Arc::new(Wire::new().expect("make a wire"));
    let queue = signals.queue(0).expect("there are two");
    queue.0.join(&wire).expect("no vector yet");
    signals.choose_for_queue(0, 1).expect_err("a counter");
}
