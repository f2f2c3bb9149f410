//! On this machine's KVM; without one each test says so and passes.

use std::{fs::File, os::fd::OwnedFd};

use super::{KvmError, Vm};
use crate::memory::{GuestRam, Layout, map};

/// A virtual machine with 32 MiB, or a printed skip.
pub(crate) fn vm_or_skip(test: &str) -> Option<(Vm, GuestRam)> {
    let kvm = kvm_or_skip(test)?;
    let ram = map(&Layout::new(32 << 20).unwrap()).unwrap();
    Some((Vm::new(kvm, ram.clone()).unwrap(), ram))
}

fn kvm_or_skip(test: &str) -> Option<OwnedFd> {
    match File::options().read(true).write(true).open("/dev/kvm") {
        Ok(file) => Some(file.into()),
        Err(error) => {
            println!("skip {test}: open /dev/kvm: {error}");
            None
        }
    }
}

#[test]
fn vm_from_kvm_descriptor_is_made() {
    let Some((vm, _ram)) = vm_or_skip("vm_from_kvm_descriptor_is_made") else {
        return;
    };
    assert!(vm.kvm().get_max_vcpus() > 0);
}

#[test]
fn vm_from_another_descriptor_is_refused() {
    let ram = map(&Layout::new(32 << 20).unwrap()).unwrap();
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap();
    let error = Vm::new(null.into(), ram).unwrap_err();
    assert!(matches!(error, KvmError::NotKvm), "{error}");
}
