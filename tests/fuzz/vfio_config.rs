//! A guest works on the configuration space and the interrupt table of a function of the host; neither guest nor device means well. No panic,
//! and no access of the guest's reaches a byte of the device that is ours or hidden. The function lies over a device of the target's own,
//! which keeps what it is asked for; its machine is KVM's, for interrupts.

#![no_main]

use std::{
    fs::File,
    io,
    ops::Range,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, OnceLock},
};

use libfuzzer_sys::fuzz_target;
use machine::{
    interrupt::Interrupts,
    kvm::Vm,
    memory::{self, Layout},
    pci::{Bar, PciFunction},
    vfio::{Hardware, Mapping, Region, Signal, VfioFunction},
};

const CONFIG: u32 = 7;
const MEMORY_BYTES: u64 = 32 << 20;
/// Most bytes of configuration space that one patch says.
const PATCH_BYTES: usize = 16;
const MOST_PATCHES: usize = 8;
/// An order of the guest's: what, where (2), a value (4).
const ORDER_BYTES: usize = 7;

/// Parts of the header that are the device's own: status, and cache line and latency.
const OF_THE_HEADER: [Range<usize>; 2] = [0x06..0x08, 0x0c..0x0e];
/// ARI, ATS, SR-IOV, page requests, multicast, resizable BARs, PASID, resizable BARs of virtual functions (PCIe 6.0, 7.6 to 7.9).
const HIDDEN_EXTENDED: [u32; 8] = [0x0e, 0x0f, 0x10, 0x12, 0x13, 0x15, 0x1b, 0x24];
/// Power management, MSI, vendor's, PCI Express, MSI-X, enhanced allocation.
const CAPABILITIES: [u8; 6] = [0x01, 0x05, 0x09, 0x10, 0x11, 0x14];
const ENHANCED_ALLOCATION: u8 = 0x14;
const MSI: u8 = 0x05;
const MSIX: u8 = 0x11;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let Some((device, touched)) = Device::read(&mut bytes) else {
        return;
    };
    let guarded = guarded(&device.config);
    let (vm, interrupts) = (vm(), Interrupts::new(vm()));
    let opened = VfioFunction::new((vm, &interrupts), Box::new(device), Box::new(|_error| ()));
    let Ok(mut function) = opened else { return };
    let orders: Vec<u8> = bytes.collect();
    for order in orders.chunks_exact(ORDER_BYTES) {
        touched.lock().expect("no panic before").clear();
        obey(&mut function, order);
        for at in touched.lock().expect("no panic before").drain(..).flatten() {
            // The command register is written with what may pass, whatever the guest wrote.
            let command = (4..6).contains(&at);
            assert!(command || !guarded[at], "{at:#x} reached the device");
        }
    }
    function.unplug();
});

fn vm() -> &'static Vm {
    static VM: OnceLock<Vm> = OnceLock::new();
    VM.get_or_init(|| {
        let kvm = File::options().read(true).write(true).open("/dev/kvm");
        let kvm = kvm.expect("this target needs /dev/kvm, for interrupts");
        let layout = Layout::new(MEMORY_BYTES).expect("a layout");
        let ram = memory::map(&layout).expect("memory");
        Vm::new(kvm.into(), ram).expect("a virtual machine")
    })
}

/// One access, as the bus makes it: 1, 2 or 4 bytes at a multiple of that.
fn obey(function: &mut VfioFunction, order: &[u8]) {
    let &[kind, low, high, ref value @ ..] = order else {
        return;
    };
    let length = 1 << (kind & 0b11).min(2);
    // Half of the orders go where something is.
    let reach = if high & 0x80 == 0 { 0x1ff } else { 0xfff };
    let offset = u16::from_le_bytes([low, high]) & reach & !(length - 1);
    let length = usize::from(length);
    let mut data = [0; 4];
    data.copy_from_slice(value);
    let data = &mut data[..length];
    let bar = Bar(kind >> 4 & 0b111);
    match kind >> 2 & 0b11 {
        0 => function.config_read(offset, data),
        1 => {
            for change in function.config_write(offset, data) {
                // The bus has no place for it, so nothing moves.
                function.bar_moved(machine::pci::BarChange { to: None, ..change });
            }
        }
        2 => function.bar_read(bar, offset.into(), data),
        _ => function.bar_write(bar, offset.into(), data),
    }
}

/// What the device has been asked for in its configuration space.
type Touched = Arc<Mutex<Vec<Range<usize>>>>;

#[derive(Debug)]
struct Device {
    config: Vec<u8>,
    bars: [u64; 6],
    touched: Touched,
}

impl Device {
    fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<(Self, Touched)> {
        let options = bytes.next()?;
        let size = if options & 1 == 0 { 256 } else { 4096 };
        let mut config = vec![0; size];
        let mut bars = [0; 6];
        for bar in &mut bars {
            let bits = bytes.next()? & 0x3f;
            *bar = if bits < 12 { 0 } else { 1 << bits };
        }
        link(&mut config, bytes)?;
        let patches = usize::from(bytes.next()?) % MOST_PATCHES;
        for _ in 0..patches {
            let start = usize::from(u16::from_le_bytes([bytes.next()?, bytes.next()?])) % size;
            let length = usize::from(bytes.next()?) % PATCH_BYTES;
            fill(&mut config, start..start + length, bytes)?;
        }
        let touched = Touched::default();
        let device = Self {
            config,
            bars,
            touched: Arc::clone(&touched),
        };
        Some((device, touched))
    }

    fn touch(&self, region: u32, offset: u64, length: usize) -> io::Result<Option<Range<usize>>> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let range = start..start + length;
        if region != CONFIG {
            let bar = self.bars.get(usize::try_from(region).expect("a few"));
            assert!(
                bar.is_some_and(|size| range.end as u64 <= *size),
                "outside of a BAR"
            );
            return Ok(None);
        }
        assert!(
            range.end <= self.config.len(),
            "outside of configuration space"
        );
        self.touched
            .lock()
            .expect("no panic before")
            .push(range.clone());
        Ok(Some(range))
    }
}

/// Lists of capabilities that hang together, before anything is patched: what finds its way through them is what is looked for.
fn link(config: &mut [u8], bytes: &mut impl Iterator<Item = u8>) -> Option<()> {
    config[0x06] = 0x10;
    let mut link = 0x34;
    for start in (0x40..0x100).step_by(0x20) {
        let id = usize::from(bytes.next()?);
        let Some(id) = CAPABILITIES.get(id % (CAPABILITIES.len() + 1)) else {
            break;
        };
        config[link] = u8::try_from(start).expect("below 256");
        config[start] = *id;
        fill(config, start + 2..start + 16, bytes)?;
        link = start + 1;
    }
    if config.len() == 256 {
        return Some(());
    }
    for start in (0x100..0x200).step_by(0x20) {
        let id = bytes.next()? % 0x30;
        let next = u32::try_from(start + 0x20).expect("small") << 20;
        let header = next | 1 << 16 | u32::from(id);
        config[start..start + 4].copy_from_slice(&header.to_le_bytes());
    }
    Some(())
}

fn fill(
    config: &mut [u8],
    range: Range<usize>,
    bytes: &mut impl Iterator<Item = u8>,
) -> Option<()> {
    for at in range {
        let byte = bytes.next()?;
        if let Some(place) = config.get_mut(at) {
            *place = byte;
        }
    }
    Some(())
}

impl Hardware for Device {
    fn name(&self) -> &'static str {
        "0000:41:00.0"
    }

    fn region(&self, index: u32) -> io::Result<Region> {
        let size = match self.bars.get(usize::try_from(index).expect("a few")) {
            Some(size) => *size,
            None if index == CONFIG => self.config.len() as u64,
            None => 0,
        };
        let mappable = Vec::new();
        Ok(Region { size, mappable })
    }

    fn read(&self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        if let Some(range) = self.touch(region, offset, data.len())? {
            data.copy_from_slice(&self.config[range]);
        }
        Ok(())
    }

    fn write(&self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.touch(region, offset, data.len()).map(drop)
    }

    fn map(&self, _region: u32, _part: &Range<u64>) -> io::Result<Mapping> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn signals(&self, _signal: Signal) -> io::Result<u32> {
        Ok(u32::MAX)
    }

    fn signal(&self, _signal: Signal, _eventfds: &[BorrowedFd<'_>]) -> io::Result<()> {
        Ok(())
    }

    fn reset(&self) -> io::Result<()> {
        Ok(())
    }
}

/// By byte: whether the guest may never reach the device's own.
fn guarded(config: &[u8]) -> Vec<bool> {
    let mut guarded = vec![false; config.len()];
    let mut guard = |range: Range<usize>| {
        let end = range.end.min(config.len());
        guarded[range.start.min(end)..end].fill(true);
    };
    let mut from = 0;
    for own in OF_THE_HEADER {
        guard(from..own.start);
        from = own.end;
    }
    guard(from..0x40);
    let list = capabilities(config);
    let mut seen = Vec::new();
    for (start, id) in list {
        // Its id and its link; of the rest what its kind says.
        guard(start..start + 2);
        if seen.contains(&id) && [MSI, MSIX].contains(&id) {
            continue;
        }
        seen.push(id);
        let control = config.get(start + 2).copied().unwrap_or(0);
        let masks = config.get(start + 3).copied().unwrap_or(0) & 1 != 0;
        let end = match (id, control & 0x80 != 0, masks) {
            (MSIX, ..) => 12,
            (MSI, false, false) => 10,
            (MSI, true, false) => 14,
            (MSI, false, true) => 20,
            (MSI, true, true) => 24,
            (ENHANCED_ALLOCATION, ..) => 4,
            _ => continue,
        };
        if id == ENHANCED_ALLOCATION || start + end <= 256 {
            guard(start..start + end);
        }
    }
    let extended = extended(config);
    for (index, (start, id)) in extended.iter().enumerate() {
        guard(*start..start + 4);
        if HIDDEN_EXTENDED.contains(id) {
            let end = extended.get(index + 1).map_or(4096, |(next, _)| *next);
            guard(start + 4..end);
        }
    }
    guarded
}

/// Where each capability begins, and its id, in the order of the list.
fn capabilities(config: &[u8]) -> Vec<(usize, u8)> {
    let mut found: Vec<(usize, u8)> = Vec::new();
    if config[6] & 0x10 == 0 {
        return found;
    }
    let mut start = usize::from(config[0x34] & 0xfc);
    while start >= 0x40 && config[start] != 0xff && !found.iter().any(|(at, _)| *at == start) {
        found.push((start, config[start]));
        start = usize::from(config[start + 1] & 0xfc);
    }
    found
}

/// The same of extended ones, by their places.
fn extended(config: &[u8]) -> Vec<(usize, u32)> {
    let mut found: Vec<(usize, u32)> = Vec::new();
    let mut start = 0x100;
    while let Some(header) = config.get(start..start + 4) {
        let header = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        if [0, u32::MAX].contains(&header) || found.iter().any(|(at, _)| *at == start) {
            break;
        }
        found.push((start, header & 0xffff));
        start = usize::try_from(header >> 20 & 0xffc).expect("12 bits");
        if start < 0x100 {
            break;
        }
    }
    found.sort_unstable();
    found
}
