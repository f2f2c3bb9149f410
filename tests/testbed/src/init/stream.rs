//! The output of a command without a terminal: a pipe, which a thread copies to a virtio port. The command doesn't get the
//! port itself, for that can be opened only once, and scripts open /dev/stdout and /dev/stderr anew.

use std::fs::{self, File};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use testbed::{control, deadlines};

const PORTS: &str = "/sys/class/virtio-ports";
const BUFFER_BYTES: usize = 32 * 1024;

/// A pipe on its way to the port.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Closing it says that the command has ended.
    running: PipeWriter,
    copying: JoinHandle<Result<u64>>,
}

impl Stream {
    /// The stream, and where the command writes to.
    pub(crate) fn open() -> Result<(Stream, PipeWriter)> {
        let port = wait_for_node(open_port).context("open the output port")?;
        let (output, writer) = pipe().context("make a pipe")?;
        let (ended, running) = pipe().context("make a pipe")?;
        let copying = thread::spawn(move || copy(output, &ended, port));
        Ok((Stream { running, copying }, writer))
    }

    /// Copies what is in the pipe now, and says how many bytes were written to the port. What a process that the command
    /// left behind may write later is not waited for.
    pub(crate) fn finish(self) -> Result<u64> {
        drop(self.running);
        self.copying
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread that copies output broke")))
    }
}

fn copy(mut output: PipeReader, ended: &PipeReader, mut port: File) -> Result<u64> {
    rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK).context("make the pipe non-blocking")?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    let mut has_ended = false;
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(bytes) => {
                port.write_all(buffer.get(..bytes).unwrap_or_default())
                    .context("write output")?;
                total += bytes as u64;
            }
            // Whatever the command wrote was in the pipe before it ended, so one more look after that is enough.
            Err(error) if error.kind() == ErrorKind::WouldBlock && has_ended => return Ok(total),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                has_ended = wait_for_either(&output, ended)?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("read output"),
        }
    }
}

/// Waits until there is output or the command has ended; says whether it has.
fn wait_for_either(output: &PipeReader, ended: &PipeReader) -> Result<bool> {
    let mut both = [
        PollFd::new(output, PollFlags::IN),
        PollFd::new(ended, PollFlags::IN),
    ];
    match poll(&mut both, None) {
        Ok(_) => Ok(both.last().is_some_and(|ended| !ended.revents().is_empty())),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error).context("wait for output"),
    }
}

/// The node of the port, by its name: numbers depend on the order of devices.
fn open_port() -> Option<File> {
    let ports = fs::read_dir(PORTS).ok()?;
    let named = |folder: &std::path::Path| {
        fs::read_to_string(folder.join("name"))
            .is_ok_and(|name| name.trim() == control::OUTPUT_PORT)
    };
    let folder = ports
        .flatten()
        .map(|entry| entry.path())
        .find(|folder| named(folder))?;
    let node = std::path::Path::new("/dev").join(folder.file_name()?);
    File::options().write(true).open(node).ok()
}

/// Asks for a node until it is there: the driver makes it after it was loaded.
pub(crate) fn wait_for_node(open: impl Fn() -> Option<File>) -> Result<File> {
    let started = Instant::now();
    // Nothing is ever sent: receiving is a pause that ends at its deadline.
    let (_sender, pause) = channel::<()>();
    while started.elapsed() < deadlines::PORT {
        if let Some(file) = open() {
            return Ok(file);
        }
        match pause.recv_timeout(deadlines::PORT_INTERVAL) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    bail!("it did not appear within {} s", deadlines::PORT.as_secs())
}
