//! Places of a doorbell, as KVM sees them.

use super::{Doorbell, DoorbellError};
use crate::kvm::tests::vm_or_skip;

#[test]
fn doorbell_at_a_taken_address_is_refused_and_free_once_left() {
    let Some((vm, _ram)) = vm_or_skip("doorbell_at_a_taken_address_is_refused_and_free_once_left")
    else {
        return;
    };
    let mut first = Doorbell::new(&vm, None).unwrap();
    let mut second = Doorbell::new(&vm, None).unwrap();
    first.move_to(Some(0xc000_0000)).unwrap();
    let error = second.move_to(Some(0xc000_0000)).unwrap_err();
    assert!(matches!(error, DoorbellError::Move { .. }), "{error}");
    assert_eq!(second.address(), None);

    first.move_to(Some(0xc000_1000)).unwrap();
    second.move_to(Some(0xc000_0000)).unwrap();
    drop(first);
    second.move_to(Some(0xc000_1000)).unwrap();
    assert_eq!(second.address(), Some(0xc000_1000));
}
