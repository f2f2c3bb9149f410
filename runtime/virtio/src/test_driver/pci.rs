//! Drives a device through the PCI bus as Linux's virtio-pci does: finds the capabilities, negotiates, sets up queues, starts. Main
//! types: [`PciDriver`], and [`Desk`], a stage whose backends the test runs by hand.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::File,
    io,
    sync::{Arc, Mutex},
};

use machine::{
    interrupt::Interrupts,
    kvm::Vm,
    memory::{GuestRam, Layout},
    pci::{COMMAND, PciAddress, PciRoot, PciWindows},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{DriverRing, memory};
use crate::{
    backend::{Backend, Running, Stage},
    device::{Device, DeviceId},
    transport::{Mount, VirtioPci},
};

pub(crate) const VERSION_1: u64 = 1 << 32;
pub(crate) const EVENT_IDX: u64 = 1 << 29;
pub(crate) const INDIRECT: u64 = 1 << 28;

/// Types of virtio's capabilities.
pub(crate) const COMMON: u8 = 1;
pub(crate) const NOTIFY: u8 = 2;
pub(crate) const ISR: u8 = 3;
pub(crate) const DEVICE: u8 = 4;
pub(crate) const CONFIG_ACCESS: u8 = 5;
/// Stands for MSI-X's table and pending bits.
pub(crate) const MSIX_TABLE: u8 = 0x80;
pub(crate) const MSIX_PENDING: u8 = 0x81;

/// A stage that keeps the backend until the test runs it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    backend: Option<Box<dyn Backend>>,
    refuse: bool,
    not_started: Vec<String>,
}

impl Desk {
    /// The next backend finds no thread.
    pub(crate) fn refuse(&self) {
        self.0.lock().expect("not poisoned").refuse = true;
    }

    pub(crate) fn occupied(&self) -> bool {
        self.0.lock().expect("not poisoned").backend.is_some()
    }

    pub(crate) fn not_started(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").not_started.clone()
    }

    /// Runs the backend while it is awake, as a loop would; false when there is none or it sleeps.
    pub(crate) fn pump(&self) -> bool {
        let mut state = self.0.lock().expect("not poisoned");
        let mut ran = false;
        while let Some(backend) = state.backend.as_mut().filter(|backend| awake(&***backend)) {
            ran = true;
            if backend.run().is_err() {
                state.backend = None;
            }
        }
        ran
    }
}

fn awake(backend: &dyn Backend) -> bool {
    let mut wake = [PollFd::from_borrowed_fd(backend.wake(), PollFlags::IN)];
    poll(&mut wake, Some(&Timespec::default())).expect("poll") == 1
}

impl Stage for Desk {
    fn run(&self, backend: Box<dyn Backend>) -> io::Result<Box<dyn Running>> {
        let mut state = self.0.lock().expect("not poisoned");
        if state.refuse {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        assert!(state.backend.is_none(), "the last one was stopped");
        state.backend = Some(backend);
        Ok(Box::new(self.clone()))
    }

    fn not_started(&self, device: DeviceId, error: &(dyn Error + 'static)) {
        let line = format!("{device:?}: {error}");
        let mut state = self.0.lock().expect("not poisoned");
        state.not_started.push(line);
    }
}

impl Running for Desk {
    fn stop(self: Box<Self>) {
        self.0.lock().expect("not poisoned").backend = None;
    }

    fn failed(&self) -> bool {
        false
    }
}

/// A guest's driver of one device behind PCI.
pub(crate) struct PciDriver {
    pub(crate) memory: GuestRam,
    pub(crate) desk: Desk,
    pub(crate) address: PciAddress,
    pub(crate) root: PciRoot,
    bar: u64,
    windows: BTreeMap<u8, (u64, u32)>,
    /// Offset of the capability for access through configuration space.
    pub(crate) config_access: u16,
    msix_control: u16,
    stride: u32,
    pub(crate) vm: Vm,
}

/// Needs KVM for vectors and doorbells; without it says so.
pub(crate) fn driver_or_skip(test: &str, device: Box<dyn Device>) -> Option<PciDriver> {
    let kvm = File::options().read(true).write(true).open("/dev/kvm");
    let kvm = match kvm {
        Ok(kvm) => kvm,
        Err(error) => {
            println!("skip {test}: open /dev/kvm: {error}");
            return None;
        }
    };
    let memory = memory();
    let vm = Vm::new(kvm.into(), memory.clone()).expect("make a virtual machine");
    Some(PciDriver::new(vm, memory, device))
}

impl PciDriver {
    fn new(vm: Vm, memory: GuestRam, device: Box<dyn Device>) -> Self {
        let desk = Desk::default();
        let interrupts = Interrupts::new(&vm);
        let mount = Mount {
            vm: &vm,
            interrupts: &interrupts,
            memory: &memory,
            stage: Box::new(desk.clone()),
        };
        let function = VirtioPci::new(device, mount).expect("make a function");
        let layout = Layout::new(32 << 20).expect("a size");
        let mut root = PciRoot::new(PciWindows::from(&layout));
        let address = root.add(Box::new(function)).expect("put it on the bus");
        let mut driver = Self {
            memory,
            desk,
            address,
            root,
            bar: 0,
            windows: BTreeMap::new(),
            config_access: 0,
            msix_control: 0,
            stride: 0,
            vm,
        };
        driver.find();
        driver.enable();
        driver
    }

    /// Walks the list of capabilities.
    fn find(&mut self) {
        let mut at = self.config(0x34, 1);
        while at != 0 {
            let offset = u16::try_from(at).expect("a byte");
            match self.config(offset, 1) {
                0x09 => self.find_window(offset),
                0x11 => {
                    self.msix_control = offset + 2;
                    let table = self.config(offset + 4, 4);
                    let pending = self.config(offset + 8, 4);
                    self.windows.insert(MSIX_TABLE, (table & !7, 0));
                    self.windows.insert(MSIX_PENDING, (pending & !7, 0));
                }
                other => panic!("a capability of id {other:#x}"),
            }
            at = self.config(offset + 1, 1);
        }
    }

    fn find_window(&mut self, offset: u16) {
        let kind = u8::try_from(self.config(offset + 3, 1)).expect("a byte");
        assert_eq!(self.config(offset + 4, 1), 0, "all in BAR 0");
        let start = self.config(offset + 8, 4);
        let length = u32::try_from(self.config(offset + 12, 4)).expect("four bytes");
        match kind {
            NOTIFY => {
                self.stride = u32::try_from(self.config(offset + 16, 4)).expect("four bytes");
            }
            CONFIG_ACCESS => self.config_access = offset,
            _ => {}
        }
        self.windows.insert(kind, (start, length));
    }

    /// Lets the device decode and interrupt; vectors stay masked, so that pending bits show what rang.
    fn enable(&mut self) {
        self.config_set(COMMAND, &6_u16.to_le_bytes());
        let low = self.config(0x10, 4) & !0xf;
        self.bar = self.config(0x14, 4) << 32 | low;
        let enabled_and_masked = 0xc000_u16;
        self.config_set(self.msix_control, &enabled_and_masked.to_le_bytes());
        for vector in 0..u64::from(self.vectors()) {
            self.write(MSIX_TABLE, vector * 16, &0xfee0_0000_u64.to_le_bytes());
            self.write(MSIX_TABLE, vector * 16 + 8, &0x41_u32.to_le_bytes());
            self.write(MSIX_TABLE, vector * 16 + 12, &0_u32.to_le_bytes());
        }
    }

    pub(crate) fn vectors(&mut self) -> u16 {
        let control = self.config(self.msix_control, 2);
        u16::try_from(control & 0x7ff).expect("eleven bits") + 1
    }

    /// Did this vector ring since it was last asked?
    pub(crate) fn interrupted(&mut self, vector: u16) -> bool {
        let bits = self.read(MSIX_PENDING, 0, 8);
        // Unmasking lets it through to the guest.
        self.config_set(self.msix_control, &0x8000_u16.to_le_bytes());
        self.config_set(self.msix_control, &0xc000_u16.to_le_bytes());
        bits >> vector & 1 == 1
    }

    pub(crate) fn bar(&self) -> u64 {
        self.bar
    }

    /// What Linux does when it finds a better place: decoding off, both halves, decoding on.
    pub(crate) fn move_bar(&mut self, to: u64) {
        let [low @ .., h0, h1, h2, h3] = to.to_le_bytes();
        self.config_set(COMMAND, &0_u16.to_le_bytes());
        self.config_set(0x10, &low);
        self.config_set(0x14, &[h0, h1, h2, h3]);
        self.config_set(COMMAND, &6_u16.to_le_bytes());
        self.bar = to;
    }

    pub(crate) fn config(&mut self, offset: u16, length: usize) -> u64 {
        let mut bytes = [0; 8];
        let place = self.ecam(offset);
        self.root.config_read(place, &mut bytes[..length]);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn config_set(&mut self, offset: u16, data: &[u8]) {
        let place = self.ecam(offset);
        self.root.config_write(place, data);
    }

    fn ecam(&self, offset: u16) -> u64 {
        u64::from(self.address.device) << 15 | u64::from(offset)
    }

    /// Reads a register in a window.
    pub(crate) fn read(&mut self, window: u8, offset: u64, length: usize) -> u64 {
        let mut bytes = [0; 8];
        let address = self.bar + self.windows[&window].0 + offset;
        assert!(
            self.root.bar_read(address, &mut bytes[..length]),
            "nothing decodes there"
        );
        u64::from_le_bytes(bytes)
    }

    /// Writes a register in a window.
    pub(crate) fn write(&mut self, window: u8, offset: u64, data: &[u8]) {
        let address = self.bar + self.windows[&window].0 + offset;
        assert!(self.root.bar_write(address, data), "nothing decodes there");
    }

    pub(crate) fn status(&mut self) -> u64 {
        self.read(COMMON, 20, 1)
    }

    /// Writes the status and reads it back.
    pub(crate) fn set_status(&mut self, status: u8) -> u64 {
        self.write(COMMON, 20, &[status]);
        self.status()
    }

    pub(crate) fn offered(&mut self) -> u64 {
        self.write(COMMON, 0, &1_u32.to_le_bytes());
        let high = self.read(COMMON, 4, 4);
        self.write(COMMON, 0, &0_u32.to_le_bytes());
        high << 32 | self.read(COMMON, 4, 4)
    }

    pub(crate) fn choose(&mut self, features: u64) {
        let [low @ .., h0, h1, h2, h3] = features.to_le_bytes();
        self.write(COMMON, 8, &0_u32.to_le_bytes());
        self.write(COMMON, 12, &low);
        self.write(COMMON, 8, &1_u32.to_le_bytes());
        self.write(COMMON, 12, &[h0, h1, h2, h3]);
    }

    /// Reset up to FEATURES_OK with these features.
    pub(crate) fn negotiate(&mut self, features: u64) {
        assert_eq!(self.set_status(0), 0);
        assert_eq!(self.set_status(1), 1);
        assert_eq!(self.set_status(3), 3);
        self.choose(features);
        assert_eq!(self.set_status(0xb), 0xb, "the features fit");
        // Vector 0 is for configuration.
        self.write(COMMON, 16, &0_u16.to_le_bytes());
        assert_eq!(self.read(COMMON, 16, 2), 0);
    }

    /// Sets up a queue and enables it, with the vector after its number. Its rings lie at `base`.
    pub(crate) fn queue(&mut self, index: u16, base: u64, size: u16) -> DriverRing {
        let ring = DriverRing::new(&self.memory, base, size);
        self.write(COMMON, 22, &index.to_le_bytes());
        self.write(COMMON, 24, &size.to_le_bytes());
        assert_eq!(self.read(COMMON, 24, 2), u64::from(size));
        for (offset, address) in [(32, ring.table), (40, ring.available), (48, ring.used)] {
            let [low @ .., h0, h1, h2, h3] = address.to_le_bytes();
            self.write(COMMON, offset, &low);
            self.write(COMMON, offset + 4, &[h0, h1, h2, h3]);
        }
        self.write(COMMON, 26, &(index + 1).to_le_bytes());
        self.write(COMMON, 28, &1_u16.to_le_bytes());
        ring
    }

    /// From nothing to a working device with one queue.
    pub(crate) fn start(&mut self, features: u64) -> DriverRing {
        self.negotiate(features | VERSION_1);
        let ring = self.queue(0, 0x1_0000, 16);
        assert_eq!(self.read(COMMON, 28, 2), 1, "the queue is enabled");
        assert_eq!(self.set_status(0xf), 0xf);
        ring
    }

    /// Rings a queue's doorbell where the capability says it is.
    pub(crate) fn notify(&mut self, index: u16) {
        self.write(COMMON, 22, &index.to_le_bytes());
        let offset = self.read(COMMON, 30, 2) * u64::from(self.stride);
        let (_, length) = self.windows[&NOTIFY];
        assert!(offset + 2 <= u64::from(length), "inside the window");
        self.write(NOTIFY, offset, &index.to_le_bytes());
    }

    pub(crate) fn doorbell_address(&self, index: u64) -> u64 {
        self.bar + self.windows[&NOTIFY].0 + index * u64::from(self.stride)
    }
}
