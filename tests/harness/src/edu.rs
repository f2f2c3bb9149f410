//! A driver of QEMU's edu device (its docs/specs/edu.txt), in a program: registers through sysfs, DMA to pages of its own. Main function: [`drive`].
//! Below: `/sys/bus/pci` and `/proc`.
//!
//! No driver of the kernel's takes the device, so nobody would count its interrupts. It is told to send, as its MSI, the vector that processors
//! send one another to be scheduled again (RESCHEDULE_VECTOR in arch/x86/include/asm/irq_vectors.h): the kernel counts those, does nothing else
//! with one that comes without need, and has none of its own where there is one processor.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::{pread, pwrite};
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

const PAGE_BYTES: usize = 4096;
/// Its one BAR.
const BAR_BYTES: usize = 1 << 20;
/// What the device says that it is, and registers.
const IDENTITY: u32 = 0x0100_00ed;
const LIVENESS: usize = 0x04;
const RAISE: usize = 0x60;
const INTERRUPTS: usize = 0x24;
const ACKNOWLEDGE: usize = 0x64;
const DMA_FROM: usize = 0x80;
const DMA_TO: usize = 0x88;
const DMA_BYTES: usize = 0x90;
const DMA_COMMAND: usize = 0x98;
/// Where the device's own memory is for its DMA: a page. QEMU 7.2 ends when all of it is asked for at once.
const DEVICE_MEMORY: u64 = 0x40000;
const TRANSFER_BYTES: u64 = 2048;
const RUN: u64 = 1;
const FROM_DEVICE: u64 = 2;
const THEN_INTERRUPT: u64 = 4;

const COMMAND: u64 = 4;
const MEMORY_AND_MASTER: u16 = 0b110;
const CAPABILITIES: u64 = 0x34;
const MSI: u8 = 5;
const MSI_ADDRESS: u32 = 0xfee0_0000;
const RESCHEDULE: u16 = 0xfd;

/// How many interrupts are asked for, one after the other.
const ROUNDS: u64 = 10;
/// For the device to do what it was told; its DMA takes a tenth of a second.
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Works with the device at this address, and says what came of it.
///
/// # Errors
/// When the device does not do what it is for. What becomes of DMA outside is not judged: that is for who knows what is there.
pub fn drive(address: &str, outside: u64, out: &mut impl Write) -> Result<()> {
    let edu = Edu::open(address)?;
    edu.registers()?;
    writeln!(out, "registers work")?;

    let count = edu.interrupts()?;
    writeln!(out, "{count} interrupts")?;

    edu.inside()?;
    writeln!(out, "DMA inside works")?;

    let page = Page::new()?;
    page.fill(b'w')?;
    edu.dma((page.physical()?, DEVICE_MEMORY), 0)?;
    edu.dma((DEVICE_MEMORY, outside), FROM_DEVICE)?;
    edu.dma((outside, DEVICE_MEMORY), 0)?;
    edu.dma((DEVICE_MEMORY, page.physical()?), FROM_DEVICE)?;
    writeln!(out, "outside reads {:?}", page.start()?)?;

    edu.inside().context("after DMA outside")?;
    writeln!(out, "DMA inside works still")?;
    Ok(())
}

struct Edu {
    config: File,
    registers: MmapRegion<()>,
}

impl Edu {
    fn open(address: &str) -> Result<Self> {
        let folder = Path::new("/sys/bus/pci/devices").join(address);
        let open = |name: &str| {
            let path = folder.join(name);
            let file = File::options().read(true).write(true).open(&path);
            file.with_context(|| format!("open {}", path.display()))
        };
        let config = open("config")?;
        let mut command = [0; 2];
        pread(&config, &mut command, COMMAND)?;
        let command = u16::from_le_bytes(command) | MEMORY_AND_MASTER;
        pwrite(&config, &command.to_le_bytes(), COMMAND)?;
        let registers = FileOffset::new(open("resource0")?, 0);
        let registers = MmapRegion::from_file(registers, BAR_BYTES).context("map the registers")?;
        Ok(Self { config, registers })
    }

    fn read(&self, register: usize) -> Result<u32> {
        Ok(self.registers.get_ref::<u32>(register)?.load())
    }

    fn write(&self, register: usize, value: u32) -> Result<()> {
        self.registers.get_ref::<u32>(register)?.store(value);
        Ok(())
    }

    fn write_wide(&self, register: usize, value: u64) -> Result<()> {
        self.registers.get_ref::<u64>(register)?.store(value);
        Ok(())
    }

    fn registers(&self) -> Result<()> {
        let identity = self.read(0)?;
        ensure!(identity == IDENTITY, "it says that it is {identity:#x}");
        self.write(LIVENESS, 0x1234_5678)?;
        let inverted = self.read(LIVENESS)?;
        ensure!(inverted == !0x1234_5678, "it inverts to {inverted:#x}");
        Ok(())
    }

    /// Asks for interrupts, one after the other, and gives how many came.
    fn interrupts(&self) -> Result<u64> {
        self.switch_msi_on()?;
        let before = rescheduled()?;
        for round in 1..=ROUNDS {
            self.write(RAISE, 1)?;
            wait(|| Ok(rescheduled()? >= before + round))
                .with_context(|| format!("interrupt {round}"))?;
            self.write(ACKNOWLEDGE, 1)?;
        }
        let came = rescheduled()? - before;
        // DMA says in the same way that it is done.
        let page = Page::new()?;
        self.dma((page.physical()?, DEVICE_MEMORY), THEN_INTERRUPT)?;
        wait(|| Ok(rescheduled()? > before + came)).context("the interrupt after DMA")?;
        self.write(ACKNOWLEDGE, self.read(INTERRUPTS)?)?;
        Ok(came)
    }

    /// A message of one processor, the first: the guest has no other.
    fn switch_msi_on(&self) -> Result<()> {
        let byte = |at: u64| {
            let mut byte = [0];
            pread(&self.config, &mut byte, at).map(|_read| byte[0])
        };
        let mut at = byte(CAPABILITIES)?;
        while at != 0 && byte(at.into())? != MSI {
            at = byte(u64::from(at) + 1)?;
        }
        ensure!(at != 0, "it has no MSI");
        let at = u64::from(at);
        // With addresses of 64 bits, as edu has them (PCI 3.0, 6.8.1).
        pwrite(&self.config, &MSI_ADDRESS.to_le_bytes(), at + 4)?;
        pwrite(&self.config, &[0; 4], at + 8)?;
        pwrite(&self.config, &RESCHEDULE.to_le_bytes(), at + 12)?;
        let control = u16::from_le_bytes([byte(at + 2)?, byte(at + 3)?]);
        pwrite(&self.config, &(control | 1).to_le_bytes(), at + 2)?;
        Ok(())
    }

    /// From a page of ours to the device, and from there to another page.
    fn inside(&self) -> Result<()> {
        let (from, to) = (Page::new()?, Page::new()?);
        from.fill(b'i')?;
        to.fill(b'?')?;
        self.dma((from.physical()?, DEVICE_MEMORY), 0)?;
        self.dma((DEVICE_MEMORY, to.physical()?), FROM_DEVICE)?;
        let came = to.start()?;
        ensure!(came == from.start()?, "DMA brought {came:?}");
        Ok(())
    }

    fn dma(&self, (from, to): (u64, u64), how: u64) -> Result<()> {
        self.write_wide(DMA_FROM, from)?;
        self.write_wide(DMA_TO, to)?;
        self.write_wide(DMA_BYTES, TRANSFER_BYTES)?;
        self.write_wide(DMA_COMMAND, how | RUN)?;
        let runs = || Ok(self.registers.get_ref::<u64>(DMA_COMMAND)?.load() & RUN != 0);
        wait(|| runs().map(|runs| !runs)).context("DMA")
    }
}

/// A page of this process, which stays where it is: nothing here moves or swaps pages.
struct Page(MmapRegion<()>);

impl Page {
    fn new() -> Result<Self> {
        let page = Self(MmapRegion::new(PAGE_BYTES)?);
        page.fill(0)?;
        Ok(page)
    }

    fn fill(&self, byte: u8) -> Result<()> {
        let all = self.0.as_volatile_slice();
        Ok(all.write_slice(&[byte; PAGE_BYTES], 0)?)
    }

    /// Its first bytes, as text.
    fn start(&self) -> Result<String> {
        let mut start = [0; 8];
        self.0.as_volatile_slice().read_slice(&mut start, 0)?;
        Ok(String::from_utf8_lossy(&start).into_owned())
    }

    fn physical(&self) -> Result<u64> {
        physical(self.0.as_ptr().addr())
    }
}

/// Where the page with this address of the process is in physical memory (Documentation/admin-guide/mm/pagemap.rst).
///
/// # Errors
/// When the page is not there, or the process may not know.
pub fn physical(address: usize) -> Result<u64> {
    const NUMBER: u64 = (1 << 55) - 1;
    const PRESENT: u64 = 1 << 63;
    let pagemap = File::open("/proc/self/pagemap").context("open the page map")?;
    let mut entry = [0; 8];
    pread(&pagemap, &mut entry, (address / PAGE_BYTES * 8) as u64)?;
    let entry = u64::from_le_bytes(entry);
    match entry & NUMBER {
        0 => bail!("the page map does not say where the page is: is CAP_SYS_ADMIN there?"),
        number if entry & PRESENT != 0 => Ok(number * PAGE_BYTES as u64),
        _ => bail!("the page is not there"),
    }
}

/// How often the kernel was interrupted to schedule again.
fn rescheduled() -> Result<u64> {
    let path = PathBuf::from("/proc/interrupts");
    let text = fs::read_to_string(&path).context("read the interrupts")?;
    let mut lines = text.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix("RES:"));
    let numbers = line.context("the kernel counts no rescheduling interrupts")?;
    let numbers = numbers.split_whitespace();
    let numbers = numbers.map_while(|number| number.parse::<u64>().ok());
    Ok(numbers.sum())
}

fn wait(done: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !done()? {
        if Instant::now() > deadline {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        thread::park_timeout(LOOK_AGAIN);
    }
    Ok(())
}
