//! Functions of the host for the guest, from the descriptors of the launch message. Main function: [`open`]. Below: `machine`'s `vfio`.
//! Above: `assemble`.

use std::{os::fd::OwnedFd, sync::Arc};

use machine::{
    interrupt::Interrupts,
    kvm::Vm,
    memory::GuestRam,
    vfio::{Container, VfioError, VfioFunction},
};
use monitor::{PciAddress, Vfio};

use crate::{
    last_words::{Cause, LastWords},
    launch::VfioParts,
};

/// What the guest is given: where each function is on the host, and the function.
pub(crate) type Functions = Vec<(PciAddress, VfioFunction)>;

/// Pins all of the guest's memory, opens each function and resets it. One that fails later ends the machine, with the reason: its driver
/// would wait for interrupts that never come.
pub(crate) fn open(
    message: &Vfio,
    parts: VfioParts,
    (vm, ram, interrupts): (&Vm, &GuestRam, &Interrupts),
    last_words: &LastWords,
) -> Result<Functions, VfioError> {
    let VfioParts { container, groups } = parts;
    let groups: Vec<OwnedFd> = groups;
    let container = Arc::new(Container::new(vm, ram, container, groups)?);
    let mut functions = Vec::new();
    for function in &message.functions {
        let address = function.host_address;
        let device = container.open(function.group.into(), &address.to_string())?;
        let words = last_words.clone();
        let on_fault = move |error: &VfioError| words.say(Cause::internal(error));
        let opened = VfioFunction::new((vm, interrupts), Box::new(device), Box::new(on_fault))?;
        functions.push((address, opened));
    }
    Ok(functions)
}
