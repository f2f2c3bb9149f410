//! A terminal for a test: the master side here, a program on the other.
//!
//! Main type: [`Terminal`]. The program gets it as its controlling terminal from setsid(1), for that takes an ioctl
//! between fork and exec that safe Rust does not offer.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};

use crate::running::{Gathered, Running};

#[derive(Debug)]
pub(crate) struct Terminal {
    master: OwnedFd,
    other_side: PathBuf,
    /// What programs on the other side have written.
    pub(crate) screen: Gathered,
}

impl Terminal {
    /// Opens a terminal with a window of this size.
    pub(crate) fn open(columns: u16, rows: u16) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).context("open a terminal")?;
        rustix::pty::grantpt(&master).context("own the terminal")?;
        rustix::pty::unlockpt(&master).context("unlock the terminal")?;
        let name = rustix::pty::ptsname(&master, Vec::new()).context("name the terminal")?;
        let other_side = PathBuf::from(name.into_string().context("the terminal's name is text")?);
        let screen = Gathered::nothing();
        let terminal = Self {
            master,
            other_side,
            screen,
        };
        terminal.resize(columns, rows)?;
        Ok(terminal)
    }

    /// Starts a program with this as its controlling terminal and its three standard streams.
    pub(crate) fn start(&mut self, command: &Command) -> Result<Running> {
        let slave = self.open_other_side()?;
        let mut on_terminal = Command::new("setsid");
        on_terminal
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_terminal.env(name, value),
                None => on_terminal.env_remove(name),
            };
        }
        on_terminal.env("TERM", OsString::from("xterm"));
        on_terminal.stdin(Stdio::from(slave.try_clone().context("copy the terminal")?));
        on_terminal.stdout(Stdio::from(slave.try_clone().context("copy the terminal")?));
        on_terminal.stderr(Stdio::from(slave));
        let running = Running::start_as_is(on_terminal)?;
        self.screen = Gathered::from(self.master.try_clone().context("copy the terminal")?);
        Ok(running)
    }

    /// Keys that a person types.
    pub(crate) fn press(&self, keys: &[u8]) -> Result<()> {
        let mut master = File::from(self.master.try_clone().context("copy the terminal")?);
        master.write_all(keys).context("type on the terminal")
    }

    /// Gives the window another size: the kernel tells the foreground program by SIGWINCH.
    pub(crate) fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&self.master, size).context("set the window's size")
    }

    /// Whether it works by lines with echo, as a shell expects to find it.
    pub(crate) fn is_cooked(&self) -> Result<bool> {
        let modes =
            rustix::termios::tcgetattr(&self.master).context("read the terminal's modes")?;
        Ok(modes
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }

    fn open_other_side(&self) -> Result<File> {
        let flags = i32::try_from(OFlags::NOCTTY.bits()).context("O_NOCTTY fits")?;
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&self.other_side);
        open.with_context(|| format!("open {}", self.other_side.display()))
    }
}
