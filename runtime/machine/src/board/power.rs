//! The ports with which a guest ends its machine: ACPI sleep and reset registers, the older ways of a reset, and pvpanic. They have
//! no state. `acpi` tells the guest where they are; `board` asks them for every port that is not the console's.

use super::{Stop, Verdict};

/// Sleep control register (ACPI 6.5, 4.8.3.7).
pub const SLEEP_CONTROL_PORT: u16 = 0x600;
/// Sleep status register (ACPI 6.5, 4.8.3.7).
pub const SLEEP_STATUS_PORT: u16 = 0x601;
/// Reset register (ACPI 6.5, 4.8.3.6).
pub const RESET_PORT: u16 = 0x602;
/// What the guest writes there.
pub const RESET_VALUE: u8 = 1;
/// Sleep type of S5 in `_S5`.
pub const SLEEP_TYPE_OFF: u8 = 5;
/// Where the guest says that it panicked (QEMU, docs/specs/pvpanic.rst).
pub const PANIC_PORT: u16 = 0x505;

/// Keyboard controller: what `reboot=k` pulses, and Linux tries last.
const I8042_COMMAND: u16 = 0x64;
const I8042_RESET: u8 = 0xfe;
/// Reset control register of PC chipsets, `reboot=p`.
const CHIPSET_RESET: u16 = 0xcf9;
const CHIPSET_RESET_NOW: u8 = 1 << 2;

const SLEEP_ENABLE: u8 = 1 << 5;
const SLEEP_TYPE_SHIFT: u32 = 2;
const SLEEP_TYPE_MASK: u8 = 7;
/// Sleep status: woke up. Nobody sleeps here, so nobody wakes.
const NOT_WOKEN: u8 = 0;

/// pvpanic: the guest panicked; it panicked and a crash kernel takes over.
const PANICKED: u8 = 1;
const CRASH_LOADED: u8 = 2;

/// Fills in what the port says; it comes in as all ones, which is the answer of ports where nothing is.
pub(super) fn read(port: u16, data: &mut [u8]) {
    let value = match port {
        SLEEP_STATUS_PORT => NOT_WOKEN,
        SLEEP_CONTROL_PORT | RESET_PORT => 0,
        PANIC_PORT => PANICKED,
        // Input buffer empty: Linux waits for that before it pulses the reset line.
        I8042_COMMAND => 0,
        _ => return,
    };
    if let Some(first) = data.first_mut() {
        *first = value;
    }
}

pub(super) fn write(port: u16, data: &[u8]) -> Verdict {
    let Some(value) = data.first().copied() else {
        return Verdict::Continue;
    };
    match port {
        SLEEP_CONTROL_PORT if sleeps_for_good(value) => Verdict::Stop(Stop::PowerOff),
        RESET_PORT if value == RESET_VALUE => Verdict::Stop(Stop::Reset),
        I8042_COMMAND if value == I8042_RESET => Verdict::Stop(Stop::Reset),
        CHIPSET_RESET if value & CHIPSET_RESET_NOW != 0 => Verdict::Stop(Stop::Reset),
        PANIC_PORT if value & (PANICKED | CRASH_LOADED) == PANICKED => {
            Verdict::Stop(Stop::GuestPanic)
        }
        _ => Verdict::Continue,
    }
}

fn sleeps_for_good(value: u8) -> bool {
    value & SLEEP_ENABLE != 0 && value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK == SLEEP_TYPE_OFF
}
