//! The terminal of an interactive command: the virtio console that is the caller's own terminal on the other side.

use std::fs::File;

use anyhow::{Context, Result};
use rustix::termios::{Winsize, tcdrain, tcsetwinsize};

use crate::stream;

const TERMINAL: &str = "/dev/hvc0";

/// Opens it, with the size of the outer one: "ROWS COLUMNS".
pub(crate) fn open(window: &str) -> Result<File> {
    let found = || File::options().read(true).write(true).open(TERMINAL).ok();
    let terminal = stream::wait_for_node(found).context("open the terminal")?;
    let (rows, columns) = window.split_once(' ').unwrap_or_default();
    let size = Winsize {
        ws_row: rows.parse().unwrap_or(24),
        ws_col: columns.parse().unwrap_or(80),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).context("set the terminal's size")?;
    Ok(terminal)
}

pub(crate) fn drain(terminal: &File) {
    if let Err(error) = tcdrain(terminal) {
        eprintln!("testbed-init: drain the terminal: {error}");
    }
}
