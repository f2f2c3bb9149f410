//! Assembles the machine, top to bottom. Main function: [`assemble`]. Main type: [`Machine`], what the main thread keeps of it.
//! Nothing runs in the guest yet when it returns.

use std::{collections::BTreeMap, io, os::fd::OwnedFd, sync::Arc, time::Instant};

use machine::{
    acpi::{self, AcpiError},
    board::Board,
    boot::{self, BootError, Payload},
    count::ExitCounts,
    cpuid::{ProcessorModel, ProcessorModelError},
    generation::{GenerationError, GenerationId},
    interrupt::Interrupts,
    kvm::{KvmError, Vm},
    memory::{self, GuestRam, Layout, MemoryError},
    pci::{AddError, PciFunction},
    processor::Processor,
    vfio::{VfioError, VfioFunction},
};
use monitor::{Datapath, DiskId, Launch, Nic, NicId, NicStatus, PciAddress, ShareTag};
use thiserror::Error;
use virtio::{
    block,
    device::Device,
    entropy::Entropy,
    fs::{self, FileSystem},
    net,
    transport::{Mount, TransportError, VirtioPci},
    vsock::{Socket, SocketError},
};

use crate::{
    command_line,
    jail::filters::Kind,
    last_words::LastWords,
    launch::Parts,
    ports::Ports,
    processor,
    threads::{Gate, ThreadError},
    vfio::Opener,
    worker::Worker,
};

/// Why there is no machine.
#[derive(Debug, Error)]
pub(crate) enum AssembleError {
    /// Its memory.
    #[error("make the guest's memory")]
    Memory(#[from] MemoryError),
    /// The virtual machine or a processor.
    #[error("make the virtual machine")]
    Kvm(#[from] KvmError),
    /// What its processors are.
    #[error("make the virtual processors")]
    Model(#[from] ProcessorModelError),
    /// Kernel, image or command line.
    #[error("load the guest")]
    Boot(#[from] BootError),
    /// The tables.
    #[error("describe the machine to the guest")]
    Acpi(#[from] AcpiError),
    /// The generation id.
    #[error("make the generation id")]
    Generation(#[from] GenerationError),
    /// The socket device.
    #[error("make the socket device")]
    Socket(#[from] SocketError),
    /// A device's function.
    #[error("make a device")]
    Transport(#[from] TransportError),
    /// A function of the host.
    #[error("give the guest a function of the host")]
    Vfio(#[from] VfioError),
    /// Its place on the bus.
    #[error("put a device on the bus")]
    Bus(#[from] AddError),
    /// A thread.
    #[error("start a thread")]
    Thread(#[from] ThreadError),
    /// The descriptor of this process.
    #[error("open a descriptor of the monitor's own process")]
    Pidfd(#[source] io::Error),
}

/// A machine with its devices.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) memory_bytes: u64,
    /// The monitor's process, for those who attach.
    pub(crate) pidfd: OwnedFd,
    /// When the processors were let go.
    pub(crate) started: Instant,
    pub(crate) board: Board,
    pub(crate) disks: BTreeMap<DiskId, Disk>,
    pub(crate) nics: BTreeMap<NicId, NicStatus>,
    pub(crate) shares: BTreeMap<ShareTag, Share>,
    /// Functions of the host, and where the guest sees them.
    pub(crate) functions: BTreeMap<PciAddress, PciAddress>,
    /// With which it gets others, if it may.
    pub(crate) opener: Option<Opener>,
    pub(crate) counts: Vec<Arc<ExitCounts>>,
    vm: Vm,
    ram: GuestRam,
    interrupts: Interrupts,
    /// Kept for a machine that is cloned: its guest is told by it.
    _generation: GenerationId,
    last_words: LastWords,
    /// Where devices work that share a thread.
    devices: Worker,
}

/// A disk on the bus.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) pci_address: PciAddress,
    pub(crate) growth: block::Growth,
}

/// A share on the bus.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) pci_address: PciAddress,
    pub(crate) connection: fs::Connection,
}

/// A machine whose processors wait at the gate.
pub(crate) fn assemble(
    launch: &Launch,
    parts: Parts,
    gate: &Gate,
    last_words: &LastWords,
) -> Result<(Machine, OwnedFd), AssembleError> {
    let layout = Layout::new(launch.memory_bytes)?;
    let ram = memory::map(&layout)?;
    let vm = Vm::new(parts.kvm, ram.clone())?;
    let interrupts = Interrupts::new(&vm);
    let model = ProcessorModel::new(&vm, launch.processors.max.into())?;
    let opener = Opener::new(launch, (&vm, &ram, &interrupts), last_words)?;
    let given = match (&launch.vfio, parts.vfio, &opener) {
        (Some(message), Some(parts), Some(opener)) => opener.open(message, parts)?,
        _ => Vec::new(),
    };
    let functions: Vec<_> = given.iter().map(|(_, function)| function).collect();
    let mut ports = Ports::plan(&functions, launch.later_functions);
    let layout = ports.layout(layout, model.address_bits())?;
    let board = Board::new(&layout, parts.console);

    let command_line = command_line::compose(launch);
    let payload = Payload {
        kernel: &parts.kernel,
        initrd: parts.guest_image.as_ref(),
        command_line: &command_line,
    };
    let entry = boot::load(&ram, &layout, &payload)?;
    acpi::write(&ram, &layout, launch.processors.max.into())?;
    let generation = GenerationId::new(&ram, &interrupts)?;

    let devices = Worker::start("devices", Kind::Devices, last_words.clone())?;
    let mut machine = Machine {
        name: launch.name.clone(),
        memory_bytes: launch.memory_bytes,
        pidfd: own_pidfd()?,
        started: Instant::now(),
        board,
        disks: BTreeMap::new(),
        nics: BTreeMap::new(),
        shares: BTreeMap::new(),
        functions: BTreeMap::new(),
        opener,
        counts: Vec::new(),
        vm,
        ram,
        interrupts,
        _generation: generation,
        last_words: last_words.clone(),
        devices,
    };
    machine.add_fixed_devices(launch, parts.vsock_listener)?;
    ports.add(&machine.board);
    for (host_address, function) in given {
        machine.add_function(host_address, function)?;
    }
    for (disk, device) in launch.disks.iter().zip(parts.disks) {
        machine.add_disk(disk.id.clone(), device)?;
    }
    for (nic, device) in launch.nics.iter().zip(parts.nics) {
        machine.add_nic(nic, device)?;
    }
    machine.add_processors(&model, entry, gate)?;
    Ok((machine, parts.control_listener))
}

impl Machine {
    /// The devices that every machine has; they share a thread.
    fn add_fixed_devices(
        &mut self,
        launch: &Launch,
        vsock_listener: OwnedFd,
    ) -> Result<(), AssembleError> {
        let socket = Socket::new(launch.vsock.guest_cid, vsock_listener)?;
        self.add(Box::new(socket), self.devices.clone())?;
        self.add(Box::new(Entropy), self.devices.clone())?;
        Ok(())
    }

    /// Puts a disk on the bus, with a thread of its own.
    pub(crate) fn add_disk(
        &mut self,
        id: DiskId,
        disk: block::Disk,
    ) -> Result<PciAddress, AssembleError> {
        let worker = Worker::start(&format!("disk {id}"), Kind::Disk, self.last_words.clone())?;
        let growth = disk.growth();
        let pci_address = self.add(Box::new(disk), worker)?;
        let disk = Disk {
            pci_address,
            growth,
        };
        self.disks.insert(id, disk);
        Ok(pci_address)
    }

    /// Puts a NIC on the bus. It has a thread of its own, unless the kernel moves its frames: then all that is left to do are
    /// rare commands, for which the shared thread is good enough.
    pub(crate) fn add_nic(
        &mut self,
        nic: &Nic,
        device: net::Nic,
    ) -> Result<PciAddress, AssembleError> {
        let (datapath, worker) = match device.datapath() {
            net::Datapath::Vhost => (Datapath::Vhost, self.devices.clone()),
            net::Datapath::UserSpace => {
                let name = format!("nic {}", nic.id);
                let worker = Worker::start(&name, Kind::Nic, self.last_words.clone())?;
                (Datapath::UserSpace, worker)
            }
        };
        let pci_address = self.add(Box::new(device), worker)?;
        let status = NicStatus {
            pci_address,
            mac: nic.mac,
            datapath,
        };
        self.nics.insert(nic.id.clone(), status);
        Ok(pci_address)
    }

    /// Puts a share on the bus. It has a thread of its own: its messages are large and copied, and would keep the agent's connections,
    /// which the shared thread serves, waiting.
    pub(crate) fn add_share(
        &mut self,
        tag: ShareTag,
        device: FileSystem,
    ) -> Result<PciAddress, AssembleError> {
        let name = format!("share {tag}");
        let worker = Worker::start(&name, Kind::Share, self.last_words.clone())?;
        let connection = device.connection();
        let pci_address = self.add(Box::new(device), worker)?;
        let share = Share {
            pci_address,
            connection,
        };
        self.shares.insert(tag, share);
        Ok(pci_address)
    }

    fn add(&self, device: Box<dyn Device>, worker: Worker) -> Result<PciAddress, AssembleError> {
        let mount = Mount {
            vm: &self.vm,
            interrupts: &self.interrupts,
            memory: &self.ram,
            stage: Box::new(worker),
        };
        self.put(Box::new(VirtioPci::new(device, mount)?))
    }

    /// Puts a function of the host behind a root port. It needs no thread: the kernel moves its data and its interrupts.
    pub(crate) fn add_function(
        &mut self,
        host_address: PciAddress,
        function: VfioFunction,
    ) -> Result<PciAddress, AssembleError> {
        let pci_address = here(self.board.add_behind_port(Box::new(function))?);
        self.functions.insert(host_address, pci_address);
        Ok(pci_address)
    }

    fn put(&self, function: Box<dyn PciFunction>) -> Result<PciAddress, AssembleError> {
        Ok(here(self.board.add(function)?))
    }

    /// All processors that may ever be online; the guest starts the others from the first one.
    fn add_processors(
        &mut self,
        model: &ProcessorModel,
        entry: boot::Entry,
        gate: &Gate,
    ) -> Result<(), AssembleError> {
        let kind = match self.opener {
            None => Kind::Processor,
            Some(_) => Kind::ProcessorWithFunctions,
        };
        for number in 0..model.count() {
            let mut processor = Processor::new(&self.vm, model, number)?;
            if number == 0 {
                processor.start_at(&entry)?;
            }
            self.counts.push(processor.counts());
            let words = self.last_words.clone();
            let thread = usize::try_from(number).unwrap_or(usize::MAX);
            processor::start(
                (thread, kind),
                processor,
                self.board.clone(),
                gate.clone(),
                words,
            )?;
        }
        Ok(())
    }
}

/// As the contract has addresses.
fn here(address: machine::pci::PciAddress) -> PciAddress {
    PciAddress {
        segment: 0,
        bus: address.bus,
        device: address.device,
        function: address.function,
    }
}

fn own_pidfd() -> Result<OwnedFd, AssembleError> {
    let pid = rustix::process::getpid();
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK)
        .map_err(|errno| AssembleError::Pidfd(errno.into()))
}
