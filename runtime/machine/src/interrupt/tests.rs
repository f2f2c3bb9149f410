//! Vectors, their states, and KVM's routing table.

use super::{InterruptError, Interrupts, MsiMessage, MsiVector};
use crate::kvm::tests::vm_or_skip;

const MESSAGE: MsiMessage = MsiMessage {
    address: 0xfee0_0000,
    data: 0x41,
};

fn rings(vector: &MsiVector) -> bool {
    // KVM takes the count as soon as the eventfd is written, so the test looks at an unbound one.
    vector.eventfd.read().is_ok()
}

fn unbound(vector: &MsiVector) -> &MsiVector {
    let vm = &vector.interrupts.shared.vm;
    vm.fd()
        .unregister_irqfd(&vector.eventfd, vector.number)
        .unwrap();
    vector
}

#[test]
fn vector_triggered_while_masked_rings_when_unmasked() {
    let Some((vm, _ram)) = vm_or_skip("vector_triggered_while_masked_rings_when_unmasked") else {
        return;
    };
    let vector = Interrupts::new(&vm).allocate().unwrap();
    let vector = unbound(&vector);

    vector.trigger();
    assert!(!rings(vector) && !vector.pending(), "off loses it");
    vector.mask();
    vector.trigger();
    vector.mask();
    assert!(!rings(vector) && vector.pending());
    vector.unmask();
    assert!(rings(vector) && !vector.pending());
    vector.trigger();
    assert!(rings(vector));
}

#[test]
fn routes_of_all_numbers_are_taken_by_kvm_at_once() {
    let Some((vm, _ram)) = vm_or_skip("routes_of_all_numbers_are_taken_by_kvm_at_once") else {
        return;
    };
    let interrupts = Interrupts::new(&vm);
    let vectors: Vec<_> = (0..64).map(|_| interrupts.allocate().unwrap()).collect();
    for vector in &vectors {
        vector.route(MESSAGE);
    }
    interrupts.commit().unwrap();
    assert!(!interrupts.routes().stale);
    vectors[0].route(MESSAGE);
    assert!(!interrupts.routes().stale, "the same again is no change");
    assert_eq!(interrupts.routes().entries().len(), 24 + 64);
}

#[test]
fn number_of_a_dropped_vector_is_given_again() {
    let Some((vm, _ram)) = vm_or_skip("number_of_a_dropped_vector_is_given_again") else {
        return;
    };
    let interrupts = Interrupts::new(&vm);
    let first = interrupts.allocate().unwrap();
    let second = interrupts.allocate().unwrap();
    let number = first.number;
    first.route(MESSAGE);
    drop(first);
    assert_ne!(second.number, number);
    let third = interrupts.allocate().unwrap();
    assert_eq!(third.number, number);
    assert_eq!(
        interrupts.routes().messages[&number],
        None,
        "no old message"
    );
}

#[test]
fn line_beyond_the_pins_is_refused() {
    let Some((vm, _ram)) = vm_or_skip("line_beyond_the_pins_is_refused") else {
        return;
    };
    let interrupts = Interrupts::new(&vm);
    interrupts.line(16).unwrap().trigger();
    let error = interrupts.line(24).unwrap_err();
    assert!(
        matches!(error, InterruptError::NoPin { pin: 24 }),
        "{error}"
    );
}
