//! What a processor's exits are answered from: ports, configuration space, BARs. Main type: [`Board`]. Below: `pci` with the
//! functions, the console, the power registers. Above: the monitor's processor threads, which pass it their exits, and its control
//! thread, which adds and removes functions.

mod console;
mod power;
mod stop;

use std::{
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::{
    power::{
        PANIC_PORT, RESET_PORT, RESET_VALUE, SLEEP_CONTROL_PORT, SLEEP_STATUS_PORT, SLEEP_TYPE_OFF,
    },
    stop::{Stop, Verdict},
};
use crate::{
    board::console::Console,
    memory::{ECAM, Layout},
    pci::{AddError, NoSuchFunction, PciAddress, PciFunction, PciRoot, PciWindows, PortRoom},
    processor::Exit,
};

/// Everything of the machine but memory and processors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Board {
    /// A lock because processors exit on their own threads and a device's registers are few and quick; nothing under it waits for the
    /// guest.
    parts: Arc<Mutex<Parts>>,
}

#[derive(Debug)]
struct Parts {
    pci: PciRoot,
    console: Console,
}

impl Board {
    /// A board with an empty bus. What the guest writes to its serial port goes to `console`, if there is one, a line at a time; it must
    /// be a file or a descriptor that does not block. The last 16 KiB are kept in any case.
    #[must_use]
    pub fn new(layout: &Layout, console: Option<File>) -> Self {
        Self {
            parts: Arc::new(Mutex::new(Parts {
                pci: PciRoot::new(PciWindows::from(layout)),
                console: Console::new(console),
            })),
        }
    }

    /// Answers an exit and says whether the machine goes on.
    #[must_use]
    pub fn answer(&self, exit: Exit<'_>) -> Verdict {
        match exit {
            Exit::PortRead { port, width, data } => {
                for element in data.chunks_mut(width.max(1)) {
                    self.port_read(port, element);
                }
                Verdict::Continue
            }
            Exit::PortWrite { port, width, data } => data
                .chunks(width.max(1))
                .map(|element| self.port_write(port, element))
                .find(|verdict| *verdict != Verdict::Continue)
                .unwrap_or(Verdict::Continue),
            Exit::MemoryRead { address, data } => {
                self.memory_read(address, data);
                Verdict::Continue
            }
            Exit::MemoryWrite { address, data } => {
                self.memory_write(address, data);
                Verdict::Continue
            }
            Exit::Interrupted => Verdict::Continue,
            Exit::Shutdown => Verdict::Stop(Stop::TripleFault),
            Exit::SystemEvent { kind } => Verdict::Stop(Stop::of_system_event(kind)),
            Exit::InternalError { kind } => Verdict::Stop(Stop::InternalError { kind }),
            Exit::FailedEntry { reason } => Verdict::Stop(Stop::FailedEntry { reason }),
            Exit::Halt => Verdict::Stop(Stop::UnexpectedExit {
                reason: kvm_bindings::KVM_EXIT_HLT,
            }),
            Exit::Other { reason } => Verdict::Stop(Stop::UnexpectedExit { reason }),
        }
    }

    /// Puts a function on the bus. The guest finds it when it scans the bus again.
    ///
    /// # Errors
    /// When the bus is full or a window has no room.
    pub fn add(&self, function: Box<dyn PciFunction>) -> Result<PciAddress, AddError> {
        self.parts().pci.add(function)
    }

    /// Puts a root port on bus 0, for a function that comes with [`Board::add_behind_port`].
    ///
    /// # Errors
    /// When the bus is full or a window has no room.
    pub fn add_port(&self, room: &PortRoom) -> Result<(), AddError> {
        self.parts().pci.add_port(room)
    }

    /// Puts a function behind a root port that has room for it, or else on bus 0. The guest finds it when it scans the bus again.
    ///
    /// # Errors
    /// As for [`Board::add`].
    pub fn add_behind_port(&self, function: Box<dyn PciFunction>) -> Result<PciAddress, AddError> {
        self.parts().pci.add_behind_port(function)
    }

    /// Takes a function off the bus; it has stopped when this returns. The guest must have let go of it.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&self, address: PciAddress) -> Result<(), NoSuchFunction> {
        let function = self.parts().pci.remove(address)?;
        drop(function); // Not under the lock.
        Ok(())
    }

    /// Stops all functions, for the end of the machine.
    pub fn clear(&self) {
        self.parts().pci.clear();
    }

    /// The last 16 KiB that the guest wrote to its serial port.
    #[must_use]
    pub fn console_tail(&self) -> Vec<u8> {
        self.parts().console.tail()
    }

    fn port_read(&self, port: u16, data: &mut [u8]) {
        if console::PORTS.contains(&port) {
            self.parts().console.read(port - console::PORTS.start, data);
        } else {
            power::read(port, data);
        }
    }

    fn port_write(&self, port: u16, data: &[u8]) -> Verdict {
        if console::PORTS.contains(&port) {
            self.parts()
                .console
                .write(port - console::PORTS.start, data);
            return Verdict::Continue;
        }
        power::write(port, data)
    }

    fn memory_read(&self, address: u64, data: &mut [u8]) {
        data.fill(0xff);
        if ECAM.contains(&address) {
            self.parts().pci.config_read(address - ECAM.start, data);
        } else {
            self.parts().pci.bar_read(address, data);
        }
    }

    fn memory_write(&self, address: u64, data: &[u8]) {
        if ECAM.contains(&address) {
            self.parts().pci.config_write(address - ECAM.start, data);
        } else {
            self.parts().pci.bar_write(address, data);
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A device that panicked ends the process in the release build; in tests the others go on.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
