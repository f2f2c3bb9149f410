//! `drive-edu PCI-ADDRESS OUTSIDE`: a driver of QEMU's edu device in a program, for guests that are given one. It wants the rights to work on
//! /sys/bus/pci and to see physical addresses. It says in a line each what it finds: the device's registers, that each interrupt came, that
//! DMA within the guest's memory is right, and what came of DMA to and from OUTSIDE, an address where the guest has no memory.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use harness::edu;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(outside)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: drive-edu PCI-ADDRESS OUTSIDE");
        return ExitCode::from(2);
    };
    let outside = outside.trim_start_matches("0x");
    let outside = u64::from_str_radix(outside, 16).map_err(anyhow::Error::from);
    let mut out = io::stdout();
    match outside.and_then(|outside| edu::drive(&address, outside, &mut out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where the test reads the rest, too.
            drop(writeln!(out, "failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
