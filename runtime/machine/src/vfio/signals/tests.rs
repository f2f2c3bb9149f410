//! How many interrupts the device is told of.

use super::Signals;
use crate::{
    interrupt::Interrupts,
    kvm::tests::vm_or_skip,
    vfio::{
        Signal,
        fake::{Deed, Fake},
    },
};

const NO_BARS: [u64; 6] = [0; 6];

#[test]
fn number_of_interrupts_grows_by_doubling_up_to_all_and_ends_with_none() {
    let Some((vm, _ram)) = vm_or_skip("number_of_interrupts_grows_by_doubling") else {
        return;
    };
    let interrupts = Interrupts::new(&vm);
    let vectors = (0..6).map(|_| interrupts.allocate().unwrap());
    let mut signals = Signals::new(Signal::MsiX, vectors).unwrap();
    let fake = Fake::new(&[0; 256], NO_BARS);
    let switched = |count| Deed::Signal(Signal::MsiX, count);
    for (wanted, expected) in [
        (0, vec![]),
        (1, vec![switched(1)]),
        (1, vec![]),
        (3, vec![switched(0), switched(4)]),
        (2, vec![]),
        (5, vec![switched(0), switched(6)]),
        (0, vec![switched(0)]),
        (0, vec![]),
    ] {
        signals.need(&fake, wanted).unwrap();
        assert_eq!(fake.record.take(), expected, "{wanted}");
    }
}

#[test]
fn host_without_interrupts_left_says_so_and_can_be_asked_again() {
    let Some((vm, _ram)) = vm_or_skip("host_without_interrupts_left") else {
        return;
    };
    let interrupts = Interrupts::new(&vm);
    let vectors = (0..4).map(|_| interrupts.allocate().unwrap());
    let mut signals = Signals::new(Signal::Msi, vectors).unwrap();
    let mut fake = Fake::new(&[0; 256], NO_BARS);
    fake.most = 1;
    signals.need(&fake, 1).unwrap();
    let error = signals.need(&fake, 2).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    fake.record.take();
    signals.need(&fake, 1).unwrap();
    assert_eq!(fake.record.take(), [Deed::Signal(Signal::Msi, 1)]);
}
