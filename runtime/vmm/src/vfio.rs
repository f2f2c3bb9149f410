//! Functions of the host for the guest, from the descriptors of the launch message. Main functions: [`prepare`], before the jail shuts, and
//! [`open`]. Below: `machine`'s `vfio`. Above: `main`, `assemble`.

use std::sync::Arc;

use machine::{
    interrupt::Interrupts,
    kvm::Vm,
    memory::GuestRam,
    vfio::{self, Container, VfioError, VfioFunction},
};
use monitor::{Invalid, Launch, PciAddress, Vfio, VfioAccess};
use thiserror::Error;

use crate::{
    last_words::{Cause, LastWords},
    launch::{Parcel, VfioParts},
};

/// What the guest is given: where each function is on the host, and the function.
pub(crate) type Functions = Vec<(PciAddress, VfioFunction)>;

/// Why nothing could be prepared.
#[derive(Debug, Error)]
pub(crate) enum PrepareError {
    /// The message.
    #[error("the launch message is refused")]
    Invalid(#[from] Invalid),
    /// The kernel.
    #[error("prepare for the functions of the host")]
    Vfio(#[from] VfioError),
}

/// What only a privileged process may: iommufd is told to count what this process pins against its own limit.
pub(crate) fn prepare(launch: &Launch, parcel: &Parcel) -> Result<(), PrepareError> {
    let Some(VfioAccess::Iommufd { iommufd, .. }) = launch.vfio.as_ref().map(|vfio| &vfio.access)
    else {
        return Ok(());
    };
    Ok(vfio::account_by_process(parcel.look(*iommufd)?)?)
}

/// Pins all of the guest's memory, opens each function and resets it. One that fails later ends the machine, with the reason: its driver
/// would wait for interrupts that never come.
pub(crate) fn open(
    message: &Vfio,
    parts: VfioParts,
    (vm, ram, interrupts): (&Vm, &GuestRam, &Interrupts),
    last_words: &LastWords,
) -> Result<Functions, VfioError> {
    let VfioParts { domain, nodes } = parts;
    let container = match &message.access {
        VfioAccess::Type1 { .. } => Container::type1(vm, ram, domain, nodes)?,
        VfioAccess::Iommufd { .. } => Container::iommufd(vm, ram, domain, nodes)?,
    };
    let container = Arc::new(container);
    let mut functions = Vec::new();
    for function in &message.functions {
        let address = function.host_address;
        let device = container.open(function.node.into(), &address.to_string())?;
        let words = last_words.clone();
        let on_fault = move |error: &VfioError| words.say(Cause::internal(error));
        let opened = VfioFunction::new((vm, interrupts), Box::new(device), Box::new(on_fault))?;
        functions.push((address, opened));
    }
    Ok(functions)
}
