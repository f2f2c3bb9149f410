//! Vectors, their states, and KVM's routing table.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kvm_bindings::{KVM_IRQCHIP_IOAPIC, kvm_ioapic_state, kvm_irqchip};
use kvm_ioctls::VcpuFd;

use super::{InterruptError, Interrupts, MsiMessage, MsiVector, Wire};
use crate::{
    kvm::{Vm, tests::vm_or_skip},
    memory::IO_APIC,
};

const DEADLINE: Duration = Duration::from_secs(10);

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
    vector.unmask().unwrap();
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

/// A processor whose local APIC takes interrupts, without ever running.
fn listening_processor(vm: &Vm) -> VcpuFd {
    const SPURIOUS: usize = 0xf0;
    const ENABLED: u8 = 1; // Bit 8 of the register.
    let processor = vm.fd().create_vcpu(0).unwrap();
    let mut registers = processor.get_lapic().unwrap();
    registers.regs[SPURIOUS + 1] |= i8::try_from(ENABLED).unwrap();
    processor.set_lapic(&registers).unwrap();
    processor
}

/// The vector waits in the local APIC's request register. KVM delivers on a thread of its own, so look until the deadline.
fn arrives(processor: &VcpuFd, vector: usize) -> bool {
    const REQUESTS: usize = 0x200;
    let place = REQUESTS + vector / 32 * 16 + vector % 32 / 8;
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        let byte = processor.get_lapic().unwrap().regs[place];
        if byte.cast_unsigned() & 1 << (vector % 8) != 0 {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn vector_triggered_arrives_in_the_local_apic() {
    let Some((vm, _ram)) = vm_or_skip("vector_triggered_arrives_in_the_local_apic") else {
        return;
    };
    let processor = listening_processor(&vm);
    let interrupts = Interrupts::new(&vm);
    let vector = interrupts.allocate().unwrap();
    vector.route(MESSAGE);
    interrupts.commit().unwrap();
    vector.unmask().unwrap();
    vector.trigger();
    assert!(arrives(&processor, 0x41));
}

/// As a guest's driver would: edge, fixed, not masked, to processor 0.
fn steer_pin(vm: &Vm, pin: usize, vector: u64) {
    let mut state = kvm_ioapic_state {
        base_address: IO_APIC,
        ..Default::default()
    };
    state.redirtbl[pin].bits = vector;
    let mut chip = kvm_irqchip {
        chip_id: KVM_IRQCHIP_IOAPIC,
        ..Default::default()
    };
    chip.chip.ioapic = state;
    vm.fd().set_irqchip(&chip).unwrap();
}

#[test]
fn line_triggered_arrives_through_the_io_apic() {
    let Some((vm, _ram)) = vm_or_skip("line_triggered_arrives_through_the_io_apic") else {
        return;
    };
    let processor = listening_processor(&vm);
    let interrupts = Interrupts::new(&vm);
    let line = interrupts.line(16).unwrap();
    steer_pin(&vm, 16, 0x43);
    line.trigger();
    assert!(arrives(&processor, 0x43), "by KVM's own table");

    let vector = interrupts.allocate().unwrap();
    vector.route(MESSAGE);
    interrupts.commit().unwrap();
    let second = interrupts.line(17).unwrap();
    steer_pin(&vm, 17, 0x45);
    second.trigger();
    assert!(arrives(&processor, 0x45), "by ours");
}

/// What the kernel does with a wire.
fn write(wire: &Wire) {
    rustix::io::write(wire, &1_u64.to_ne_bytes()).unwrap();
}

#[test]
fn wire_written_while_its_vector_is_masked_is_pending_until_unmasked() {
    let name = "wire_written_while_its_vector_is_masked_is_pending_until_unmasked";
    let Some((vm, _ram)) = vm_or_skip(name) else {
        return;
    };
    let processor = listening_processor(&vm);
    let interrupts = Interrupts::new(&vm);
    let vector = interrupts.allocate().unwrap();
    vector.route(MESSAGE);
    interrupts.commit().unwrap();
    let wire = Arc::new(Wire::new().unwrap());
    vector.mask();
    vector.join(&wire).unwrap();
    assert!(!vector.pending());
    write(&wire);
    assert!(
        vector.pending() && vector.pending(),
        "told as often as asked"
    );
    vector.unmask().unwrap();
    assert!(arrives(&processor, 0x41), "by what was pending");
    assert!(!vector.pending());

    // Another message, so that it can be told apart from the first.
    vector.mask();
    let second = MsiMessage {
        data: 0x42,
        ..MESSAGE
    };
    vector.route(second);
    interrupts.commit().unwrap();
    write(&wire);
    vector.unmask().unwrap();
    assert!(
        arrives(&processor, 0x42),
        "by what KVM found in the eventfd"
    );
}

#[test]
fn wire_joined_to_another_vector_rings_that() {
    let Some((vm, _ram)) = vm_or_skip("wire_joined_to_another_vector_rings_that") else {
        return;
    };
    let processor = listening_processor(&vm);
    let interrupts = Interrupts::new(&vm);
    let wire = Arc::new(Wire::new().unwrap());
    for data in [0x41, 0x42] {
        let vector = interrupts.allocate().unwrap();
        vector.route(MsiMessage { data, ..MESSAGE });
        interrupts.commit().unwrap();
        vector.unmask().unwrap();
        vector.join(&wire).unwrap();
        write(&wire);
        assert!(arrives(&processor, usize::try_from(data).unwrap()));
        vector.part(&wire);
    }
    // Nobody takes it now.
    write(&wire);
    assert_eq!(rustix::io::read(&*wire, &mut [0; 8]), Ok(8));
}
