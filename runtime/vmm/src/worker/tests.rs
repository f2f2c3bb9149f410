//! Tests of a worker with a backend that counts, under the real filter: in a child process, because a filter stays for good. The
//! worker's thread has the filter, the test's own thread has not.

use std::{os::fd::BorrowedFd, sync::atomic::AtomicUsize, time::Duration};

use virtio::backend::BackendError;

use super::*;
use crate::last_words;

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Counter {
    bell: Bell,
    runs: Arc<AtomicUsize>,
    ran: SyncSender<()>,
    fails: bool,
}

impl Backend for Counter {
    fn wake(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.bell.as_fd()
    }

    fn run(&mut self) -> Result<(), BackendError> {
        self.bell.silence().unwrap();
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.ran.send(()).unwrap();
        if self.fails {
            let source = io::ErrorKind::StorageFull.into();
            return Err(BackendError::Host {
                attempt: "write to the disk",
                source,
            });
        }
        Ok(())
    }
}

struct Setting {
    worker: Worker,
    ear: last_words::Ear,
    bell: Bell,
    runs: Arc<AtomicUsize>,
    ran: Receiver<()>,
    counter: Counter,
}

fn set(fails: bool) -> Setting {
    let (words, ear) = last_words::channel().unwrap();
    let worker = Worker::start("test", Kind::Disk, words).unwrap();
    let bell = Bell::new().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let (ran_out, ran) = mpsc::sync_channel(16);
    let counter = Counter {
        bell: bell.clone(),
        runs: Arc::clone(&runs),
        ran: ran_out,
        fails,
    };
    Setting {
        worker,
        ear,
        bell,
        runs,
        ran,
        counter,
    }
}

#[test]
fn backend_runs_when_it_is_woken_and_not_after_it_was_stopped() {
    let set = set(false);
    let running = set.worker.run(Box::new(set.counter)).unwrap();
    set.bell.ring();
    set.ran.recv_timeout(SOON).unwrap();
    assert!(!running.failed());
    running.stop();
    // The backend is dropped: its end of the channel is closed.
    assert!(set.ran.recv_timeout(SOON).is_err());
    set.bell.ring();
    assert_eq!(set.runs.load(Ordering::SeqCst), 1);
    assert_eq!(set.ear.heard(), None);
}

#[test]
fn backend_that_the_host_refuses_ends_the_machine() {
    let set = set(true);
    let running = set.worker.run(Box::new(set.counter)).unwrap();
    set.bell.ring();
    set.ran.recv_timeout(SOON).unwrap();
    assert!(
        set.ran.recv_timeout(SOON).is_err(),
        "a failed backend is dropped"
    );
    assert!(running.failed());
    let cause = set.ear.heard().unwrap();
    assert_eq!(cause.reason, EndReason::DeviceError);
    assert!(
        cause.text.starts_with("write to the disk: "),
        "{}",
        cause.text
    );
    running.stop();
}

#[test]
fn worker_s_thread_ends_with_its_last_handle() {
    let set = set(false);
    let running = set.worker.run(Box::new(set.counter)).unwrap();
    drop(set.worker);
    set.bell.ring();
    set.ran.recv_timeout(SOON).unwrap();
    drop(running);
    assert!(set.ran.recv_timeout(SOON).is_err());
}
