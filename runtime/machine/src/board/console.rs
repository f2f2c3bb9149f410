//! The serial port at 0x3f8: output only, no interrupt. It costs nothing until the guest writes to it. Main type: [`Console`]. Its tail
//! shows a guest's last words.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs::File,
    io::{self, Write},
    ops::Range,
};

use vm_superio::{Serial, Trigger, serial::NoEvents};

/// Ports of the first serial port of a PC.
pub(super) const PORTS: Range<u16> = 0x3f8..0x400;
/// So much of the output is kept.
const TAIL_BYTES: usize = 16 << 10;
/// A line longer than this is written in parts.
const LINE_BYTES: usize = 1 << 10;

/// A 16550 that only sends.
#[derive(Debug)]
pub(super) struct Console {
    serial: Serial<NoInterrupt, NoEvents, Output>,
}

impl Console {
    pub(super) fn new(file: Option<File>) -> Self {
        let output = Output {
            tail: VecDeque::new(),
            line: Vec::new(),
            file,
        };
        Self {
            serial: Serial::new(NoInterrupt, output),
        }
    }

    pub(super) fn read(&mut self, register: u16, data: &mut [u8]) {
        if let (Ok(register), [value]) = (u8::try_from(register), data) {
            *value = self.serial.read(register);
        }
    }

    pub(super) fn write(&mut self, register: u16, data: &[u8]) {
        if let (Ok(register), [value]) = (u8::try_from(register), data) {
            // Only the loop-back mode's input FIFO can be full; hardware drops the byte then.
            self.serial.write(register, *value).ok();
        }
    }

    pub(super) fn tail(&self) -> Vec<u8> {
        self.serial.writer().tail.iter().copied().collect()
    }
}

#[derive(Debug)]
struct NoInterrupt;

impl Trigger for NoInterrupt {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Self::E> {
        Ok(())
    }
}

/// Keeps the tail, and passes whole lines on.
#[derive(Debug)]
struct Output {
    tail: VecDeque<u8>,
    line: Vec<u8>,
    file: Option<File>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if self.tail.len() == TAIL_BYTES {
                self.tail.pop_front();
            }
            self.tail.push_back(*byte);
        }
        if self.file.is_some() {
            self.line.extend_from_slice(bytes);
            if self.line.len() >= LINE_BYTES || bytes.contains(&b'\n') {
                self.pass_on();
            }
        }
        Ok(bytes.len())
    }

    /// Called after each byte; lines are passed on as a whole instead.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn pass_on(&mut self) {
        if let Some(file) = &mut self.file {
            // A full or closed sink must not stop the guest; the tail has the end in any case.
            file.write_all(&self.line).ok();
        }
        self.line.clear();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.pass_on();
    }
}
