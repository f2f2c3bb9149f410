//! Passes the command's output on to our own standard output as it comes, and counts it, so that the end of the output is
//! known: QEMU may be ended when the last byte is here, and not before.

use std::io::{self, Read, Write};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

const BUFFER_BYTES: usize = 64 * 1024;

/// A thread that copies until QEMU closes its end.
#[derive(Debug)]
pub(super) struct Pump {
    received: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Pump {
    pub(super) fn start(from: ChildStdout) -> Pump {
        let received = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&received);
        Pump {
            received,
            thread: thread::spawn(move || copy(from, &count)),
        }
    }

    /// Bytes that have been passed on.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Waits until everything that QEMU had written is passed on; QEMU has ended.
    pub(super) fn finish(self) {
        if self.thread.join().is_err() {
            eprintln!("testbed: the thread that passes on output broke");
        }
    }
}

fn copy(mut from: ChildStdout, count: &AtomicU64) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut out = io::stdout();
    let mut open = true;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(bytes) => {
                // A reader that went away (`| head`) wants no more, but the command runs to its end.
                let chunk = buffer.get(..bytes).unwrap_or_default();
                open = open && out.write_all(chunk).and_then(|()| out.flush()).is_ok();
                count.fetch_add(chunk.len() as u64, Ordering::Release);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                eprintln!("testbed: read output: {error}");
                return;
            }
        }
    }
}
