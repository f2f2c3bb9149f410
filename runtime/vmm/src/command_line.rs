//! The kernel's command line. Main function: [`compose`]. Every word of the monitor's own is here with its reason.

#[cfg(test)]
mod tests;

use monitor::{Console, Launch};

/// A word that the monitor puts on the command line.
#[derive(Debug, Clone, Copy)]
struct Word {
    text: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "documentation that tests read"))]
    reason: &'static str,
}

const ALWAYS: &[Word] = &[
    Word {
        text: "console=ttyS0",
        reason: "a panic has to be seen; while the kernel is quiet the port costs nothing",
    },
    Word {
        text: "8250.nr_uarts=1",
        reason: "one serial port at its fixed address; probing three more would cost exits",
    },
    Word {
        text: "panic=-1",
        reason: "a panic ends the machine at once, by the reset that follows it",
    },
    Word {
        text: "reboot=a",
        reason: "the reset register of the ACPI tables first; the keyboard controller isn't there",
    },
];

/// Without a console: warnings and below stay in the guest's own log.
const QUIET: &[Word] = &[Word {
    text: "loglevel=1",
    reason: "only emergencies reach the port: a panic, and nothing of a boot",
}];

/// With a console.
const TALKING: &[Word] = &[Word {
    text: "loglevel=7",
    reason: "who asks for a console wants to see the boot",
}];

/// The whole command line of a machine. What the launcher adds comes last, for the last one of a word counts.
pub(crate) fn compose(launch: &Launch) -> String {
    let level = match launch.console {
        Console::Off => QUIET,
        Console::Log(_) => TALKING,
    };
    let own = ALWAYS.iter().chain(level).map(|word| word.text.to_owned());
    // maxcpus: processors beyond it are present and offline, for the agent to bring online.
    let processors = std::iter::once(format!("maxcpus={}", launch.processors.boot));
    let added = (!launch.command_line.is_empty()).then(|| launch.command_line.clone());
    let words: Vec<String> = own.chain(processors).chain(added).collect();
    words.join(" ")
}
