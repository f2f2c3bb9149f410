//! A function of the host on the guest's bus. Main type: [`VfioFunction`]. What its driver does to configuration space goes through the
//! table of `config`; BARs are `window`s where the kernel maps them; interrupts go by `signals`.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, io, ops::Range};

use super::{
    Hardware, Region, Signal, VfioError,
    bars::{self, BarPlan},
    config::{ConfigTable, LEAST_BYTES, MOST_BYTES, MSIX_CONTROL, MsixPlace},
    hardware::CONFIG,
    msi::Msi,
    signals::Signals,
    window::Window,
};
use crate::{
    interrupt::{InterruptError, Interrupts},
    kvm::Vm,
    pci::{
        Bar, BarChange, Bars, COMMAND, Msix, MsixError, PciFunction, PortRoom, pending_bytes,
        table_bytes,
    },
};

/// Is told when a function does not work any more: its guest can't be helped then.
pub type OnFault = Box<dyn Fn(&VfioError) + Send>;

/// Command register.
const MEMORY: u16 = 1 << 1;
const INTX_OFF: u16 = 1 << 10;
const INTERRUPT_PIN: usize = 0x3d;
const FIRST_BAR: usize = 0x10;
const BARS: u32 = 6;

/// One function, as the guest has it.
pub struct VfioFunction {
    hardware: Box<dyn Hardware>,
    table: ConfigTable,
    bars: Bars,
    plans: Vec<BarPlan>,
    windows: BTreeMap<Bar, Vec<Window>>,
    msi: Option<(Msi, Signals)>,
    msix: Option<(MsixPlace, Msix, Signals)>,
    on_fault: OnFault,
}

impl fmt::Debug for VfioFunction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("VfioFunction")
            .field("hardware", &self.hardware)
            .field("plans", &self.plans)
            .finish_non_exhaustive()
    }
}

impl VfioFunction {
    /// Reads what the function is, maps its BARs into this process and takes its vectors. The guest reaches nothing of it yet.
    ///
    /// # Errors
    /// When it does not answer, is nothing that a guest can have, or the kernel refuses.
    pub fn new(
        (vm, interrupts): (&Vm, &Interrupts),
        hardware: Box<dyn Hardware>,
        on_fault: OnFault,
    ) -> Result<Self, VfioError> {
        let name = hardware.name().to_owned();
        let failed = |attempt| of_function(&name, attempt);
        let bytes = read_all(&*hardware).map_err(failed("read the configuration space"))?;
        if bytes.starts_with(&[0xff, 0xff]) {
            return Err(VfioError::Silent { function: name });
        }
        let unfit = |why| VfioError::Unfit {
            function: name.clone(),
            why,
        };
        let mut table = ConfigTable::new(&bytes).map_err(unfit)?;
        let has_pin = bytes.get(INTERRUPT_PIN).is_some_and(|pin| *pin != 0);
        if has_pin && table.msi.is_none() && table.msix.is_none() {
            return Err(unfit(
                "it has neither MSI nor MSI-X, and a guest is given no interrupt pin",
            ));
        }
        let registers = registers(&*hardware, &bytes).map_err(failed("find the BARs"))?;
        let plans = bars::plan(&registers, table.msix);
        let mut bars = Bars::default();
        let mut windows: BTreeMap<Bar, Vec<Window>> = BTreeMap::new();
        for plan in &plans {
            let added = bars.add(plan.spec).map_err(|source| VfioError::Bar {
                function: name.clone(),
                source,
            });
            added?.into_iter().for_each(|register| table.add(register));
            for part in &plan.direct {
                let mapping = hardware.map(plan.spec.bar.0.into(), part);
                let mapping = mapping.map_err(failed("map a BAR"))?;
                let windows = windows.entry(plan.spec.bar).or_default();
                windows.push(Window::new(vm, part.start, mapping));
            }
        }
        let interrupt = |source| VfioError::Interrupt {
            function: name.clone(),
            source,
        };
        let (msi, msix) = vectors(interrupts, &table).map_err(interrupt)?;
        let function = Self {
            hardware,
            table,
            bars,
            plans,
            windows,
            msi,
            msix,
            on_fault,
        };
        function
            .pass_command_on()
            .map_err(failed("switch on the memory"))?;
        Ok(function)
    }

    /// Bytes of address space that its 64-bit BARs take.
    #[must_use]
    pub fn wide_bytes(&self) -> u64 {
        let wide = |plan: &&BarPlan| plan.spec.width != crate::pci::BarWidth::Bits32;
        let sizes = self.plans.iter().filter(wide).map(|plan| plan.spec.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// What a root port before it has to have room for.
    #[must_use]
    pub fn port_room(&self) -> PortRoom {
        PortRoom::of(self.plans.iter().map(|plan| plan.spec))
    }

    /// The device answers to its memory whatever the guest says: a guest that switches it off loses the BARs on its own bus, and the
    /// kernel would take the pages away under processors that run. INTx stays off, and there are no I/O ports.
    fn pass_command_on(&self) -> io::Result<()> {
        let command = self.table.word(COMMAND.into()) | MEMORY | INTX_OFF;
        self.hardware
            .write(CONFIG, COMMAND.into(), &command.to_le_bytes())
    }

    /// Follows what the guest wrote to its MSI or MSI-X capability, or to the table.
    fn steer(&mut self) -> Result<(), VfioError> {
        let name = self.hardware.name().to_owned();
        let mut msix_wanted = 0;
        if let Some((_, msix, _)) = &self.msix {
            msix_wanted = msix.in_use();
        }
        // PCI has a function use one of the two (PCI 3.0, 6.8).
        if let Some((msi, signals)) = &mut self.msi {
            let wanted = match msix_wanted {
                0 => msi.in_use(&self.table),
                _ => 0,
            };
            if msix_wanted > 0 || wanted == 0 {
                let needed = signals.need(&*self.hardware, 0);
                needed.map_err(of_function(&name, "switch off the MSI"))?;
            } else {
                let needed = signals.need(&*self.hardware, wanted);
                needed.map_err(of_function(&name, "switch on the MSI"))?;
            }
        }
        if let Some((_, _, signals)) = &mut self.msix {
            let needed = signals.need(&*self.hardware, msix_wanted);
            needed.map_err(of_function(&name, "switch the MSI-X"))?;
        }
        Ok(())
    }

    /// The messages go to KVM before the device may send any.
    fn messages_written(&mut self, messages: impl FnOnce(&mut Self) -> Result<(), InterruptError>) {
        let function = self.hardware.name().to_owned();
        let steered = messages(self)
            .map_err(|source| VfioError::Interrupt { function, source })
            .and_then(|()| self.steer());
        if let Err(error) = steered {
            (self.on_fault)(&error);
        }
    }

    fn msix_at(&mut self, bar: Bar, offset: u64) -> Option<(MsixPart, &mut Msix)> {
        let (place, msix, _) = self.msix.as_mut()?;
        let within = |(of, start): (u8, u64), bytes: u32| {
            let offset = offset.checked_sub(start)?;
            (Bar(of) == bar && offset < u64::from(bytes)).then_some(offset)
        };
        let table = within(place.table, table_bytes(place.entries)).map(MsixPart::Table);
        let pending = || within(place.pending, pending_bytes(place.entries)).map(MsixPart::Pending);
        Some((table.or_else(pending)?, msix))
    }

    fn device_bytes(&self, bar: Bar) -> u64 {
        let plan = self.plans.iter().find(|plan| plan.spec.bar == bar);
        plan.map_or(0, |plan| plan.bytes)
    }

    fn is_inside(&self, bar: Bar, offset: u64, data: &[u8]) -> bool {
        let end = offset.checked_add(data.len() as u64);
        end.is_some_and(|end| end <= self.device_bytes(bar))
    }
}

/// What of MSI-X lies in a BAR, with the offset in it.
enum MsixPart {
    Table(u64),
    Pending(u64),
}

impl PciFunction for VfioFunction {
    fn config_read(&mut self, offset: u16, data: &mut [u8]) {
        for run in self.table.read(offset, data) {
            let at = u64::from(offset) + run.start as u64;
            if let Some(part) = data.get_mut(run)
                && self.hardware.read(CONFIG, at, part).is_err()
            {
                part.fill(0xff); // As from an empty bus.
            }
        }
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) -> Vec<BarChange> {
        for run in self.table.write(offset, data) {
            let at = u64::from(offset) + run.start as u64;
            if let Some(part) = data.get(run) {
                // A device that is gone takes nothing, as on a real bus.
                self.hardware.write(CONFIG, at, part).ok();
            }
        }
        let start = usize::from(offset);
        let written = start..start + data.len();
        if let Some((place, _, _)) = &self.msix
            && overlaps(&written, &place.bytes())
        {
            let control = self.table.word(place.offset + MSIX_CONTROL);
            self.messages_written(|function| match &mut function.msix {
                Some((_, msix, _)) => msix.set_control(control),
                None => Ok(()),
            });
        }
        if let Some((msi, _)) = &self.msi
            && overlaps(&written, &msi.place.bytes())
        {
            self.messages_written(|function| match &function.msi {
                Some((msi, _)) => msi.steer(&function.table),
                None => Ok(()),
            });
        }
        let command = usize::from(COMMAND);
        let command = command..command + 2;
        if overlaps(&written, &command) {
            self.pass_command_on().ok(); // As above.
        }
        let registers = FIRST_BAR..FIRST_BAR + 24;
        if !overlaps(&written, &command) && !overlaps(&written, &registers) {
            return Vec::new();
        }
        let enabled = self.table.word(COMMAND.into()) & MEMORY != 0;
        let table = &self.table;
        self.bars.decode(enabled, |at| table.double_word(at.into()))
    }

    fn bars(&self) -> Vec<(Bar, u64, Option<u64>)> {
        self.bars.list()
    }

    fn bar_moved(&mut self, change: BarChange) {
        let windows = self.windows.entry(change.bar).or_default();
        let mut moved = windows.iter_mut().map(|window| window.follow(change.to));
        if let Some(error) = moved.find_map(Result::err) {
            (self.on_fault)(&error.into());
        }
    }

    fn bar_read(&mut self, bar: Bar, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        match self.msix_at(bar, offset) {
            Some((MsixPart::Table(offset), msix)) => return msix.table_read(offset, data),
            Some((MsixPart::Pending(offset), msix)) => return msix.pending_read(offset, data),
            None => {}
        }
        let inside = self.is_inside(bar, offset, data);
        if inside && self.hardware.read(bar.0.into(), offset, data).is_err() {
            data.fill(0xff);
        }
    }

    fn bar_write(&mut self, bar: Bar, offset: u64, data: &[u8]) {
        let Some((part, _)) = self.msix_at(bar, offset) else {
            if self.is_inside(bar, offset, data) {
                // A device that is gone takes nothing.
                self.hardware.write(bar.0.into(), offset, data).ok();
            }
            return;
        };
        if let MsixPart::Table(offset) = part {
            self.messages_written(|function| match &mut function.msix {
                Some((_, msix, _)) => msix.table_write(offset, data),
                None => Ok(()),
            });
        }
    }

    fn unplug(&mut self) {
        // What fails here the kernel does again when the descriptor is closed.
        if let Some((_, signals)) = &mut self.msi {
            signals.need(&*self.hardware, 0).ok();
        }
        if let Some((_, _, signals)) = &mut self.msix {
            signals.need(&*self.hardware, 0).ok();
        }
        self.windows.clear();
        let quiet = INTX_OFF.to_le_bytes();
        self.hardware.write(CONFIG, COMMAND.into(), &quiet).ok();
        self.hardware.reset().ok();
    }
}

type Vectors = (Option<(Msi, Signals)>, Option<(MsixPlace, Msix, Signals)>);

fn vectors(interrupts: &Interrupts, table: &ConfigTable) -> Result<Vectors, InterruptError> {
    let msi = table.msi.map(|place| {
        let msi = Msi::new(interrupts, place)?;
        let signals = Signals::new(Signal::Msi, msi.vectors())?;
        Ok((msi, signals))
    });
    let msix = table.msix.map(|place| {
        let msix = Msix::of_device(interrupts, place.vectors);
        let msix = msix.map_err(|error| match error {
            MsixError::Interrupt(error) => error,
            // A capability says 1 to 2048.
            MsixError::Count { .. } | MsixError::Capability(_) => InterruptError::NoneLeft,
        })?;
        let vectors = (0..place.vectors).filter_map(|index| msix.vector(index));
        let signals = Signals::new(Signal::MsiX, vectors)?;
        Ok((place, msix, signals))
    });
    Ok((msi.transpose()?, msix.transpose()?))
}

fn read_all(hardware: &dyn Hardware) -> io::Result<Vec<u8>> {
    let size = usize::try_from(hardware.region(CONFIG)?.size).unwrap_or(usize::MAX);
    let size = if size < MOST_BYTES {
        LEAST_BYTES
    } else {
        MOST_BYTES
    };
    let mut bytes = vec![0; size];
    hardware.read(CONFIG, 0, &mut bytes)?;
    Ok(bytes)
}

/// Each BAR's register, and its region.
fn registers(hardware: &dyn Hardware, bytes: &[u8]) -> io::Result<Vec<(u32, Region)>> {
    let registers = (0..BARS).zip(bytes.get(FIRST_BAR..).unwrap_or_default().chunks(4));
    let registers = registers.map(|(number, register)| {
        let register = register.first_chunk().copied().unwrap_or_default();
        Ok((u32::from_le_bytes(register), hardware.region(number)?))
    });
    registers.collect()
}

fn of_function(name: &str, attempt: &'static str) -> impl FnOnce(io::Error) -> VfioError {
    let function = name.to_owned();
    move |source| VfioError::Function {
        function,
        attempt,
        source,
    }
}

fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}
