//! Functions of the host for the guest, from the descriptors of the launch message or of a request. Main type: [`Opener`]; [`prepare`] is
//! called before the jail shuts. Below: `machine`'s `vfio`. Above: `main`, `assemble`, and `control`, which adds one to a running machine.

use std::{collections::BTreeSet, sync::Arc};

use machine::{
    interrupt::Interrupts,
    kvm::Vm,
    memory::GuestRam,
    vfio::{self, Container, KvmGroups, VfioError, VfioFunction},
};
use monitor::{HostFunction, Invalid, Launch, PciAddress, Vfio, VfioAccess};
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

/// What functions are opened with. A machine has one that has functions, or may have.
#[derive(Debug)]
pub(crate) struct Opener {
    kvm: KvmGroups,
    vm: Vm,
    ram: GuestRam,
    interrupts: Interrupts,
    last_words: LastWords,
    /// How many may be given at a time while it runs.
    most_later: usize,
    /// Those that were, by where they are on the host.
    pub(crate) later: BTreeSet<PciAddress>,
}

impl Opener {
    /// None for a machine that has no functions and gets none.
    pub(crate) fn new(
        launch: &Launch,
        (vm, ram, interrupts): (&Vm, &GuestRam, &Interrupts),
        last_words: &LastWords,
    ) -> Result<Option<Self>, VfioError> {
        if launch.vfio.is_none() && launch.later_functions == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            kvm: KvmGroups::new(vm)?,
            vm: vm.clone(),
            ram: ram.clone(),
            interrupts: interrupts.clone(),
            last_words: last_words.clone(),
            most_later: launch.later_functions.into(),
            later: BTreeSet::new(),
        }))
    }

    /// Pins all of the guest's memory, opens each function and resets it.
    pub(crate) fn open(&self, message: &Vfio, parts: VfioParts) -> Result<Functions, VfioError> {
        let container = Arc::new(self.container(&message.access, parts)?);
        let functions = message.functions.iter().map(|function| {
            let address = function.host_address;
            let opened = self.function(&container, function.node.into(), address)?;
            Ok((address, opened))
        });
        functions.collect()
    }

    /// The same for one that comes later: with it goes what was mapped and pinned for it.
    pub(crate) fn open_later(
        &self,
        function: &HostFunction,
        parts: VfioParts,
    ) -> Result<VfioFunction, VfioError> {
        let VfioParts { domain, nodes } = parts;
        let container = Container::type1(&self.kvm, &self.ram, domain, nodes)?;
        self.function(&Arc::new(container), 0, function.host_address)
    }

    /// Why no more can be added.
    pub(crate) fn full(&self) -> Option<String> {
        let most = self.most_later;
        let full = self.later.len() >= most;
        full.then(|| {
            format!("{most} functions of the host were added, which is all that the machine was started for")
        })
    }

    fn container(&self, access: &VfioAccess, parts: VfioParts) -> Result<Container, VfioError> {
        let VfioParts { domain, nodes } = parts;
        match access {
            VfioAccess::Type1 { .. } => Container::type1(&self.kvm, &self.ram, domain, nodes),
            VfioAccess::Iommufd { .. } => Container::iommufd(&self.kvm, &self.ram, domain, nodes),
        }
    }

    /// One that fails later ends the machine, with the reason: its driver would wait for interrupts that never come.
    fn function(
        &self,
        container: &Arc<Container>,
        group: usize,
        address: PciAddress,
    ) -> Result<VfioFunction, VfioError> {
        let device = container.open(group, &address.to_string())?;
        let words = self.last_words.clone();
        let on_fault = move |error: &VfioError| words.say(Cause::internal(error));
        let with = (&self.vm, &self.interrupts);
        VfioFunction::new(with, Box::new(device), Box::new(on_fault))
    }
}
