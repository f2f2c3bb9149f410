//! A thread that runs backends of devices. Main type: [`Worker`], the stage that the transports are given. One worker runs the
//! devices that share a thread. Each disk has one of its own, because a disk's work blocks, and so has each share, and each NIC whose
//! frames the kernel does not move, because they would keep the others waiting.
//!
//! A worker never takes the board's lock: a processor's thread that holds it waits for the worker when a device is reset.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TryRecvError},
    },
};

use monitor::EndReason;
use virtio::{
    backend::{Backend, BackendError, Running, Stage},
    device::DeviceId,
};

use crate::{
    bell::Bell,
    jail::filters::Kind,
    last_words::{Cause, LastWords, chain},
    limits::ORDERS,
    poll::{Poll, Token},
    threads::{self, ThreadError},
};

/// The bell's token; backends count from 1.
const BELL: Token = 0;

/// A handle to a worker's thread. Cheap to clone; the thread ends when the last handle, and the last device on it, is gone.
#[derive(Debug, Clone)]
pub(crate) struct Worker(Arc<Desk>);

/// Where orders are handed in.
#[derive(Debug)]
struct Desk {
    /// Gone only while the desk is dropped.
    orders: Option<SyncSender<Order>>,
    bell: Bell,
    next: AtomicU64,
    last_words: LastWords,
}

#[derive(Debug)]
enum Order {
    Run {
        token: Token,
        backend: Box<dyn Backend>,
        failed: Arc<AtomicBool>,
    },
    Stop {
        token: Token,
        done: SyncSender<()>,
    },
}

/// A backend on a worker.
#[derive(Debug)]
struct Job {
    worker: Worker,
    token: Token,
    failed: Arc<AtomicBool>,
}

/// What the thread owns.
#[derive(Debug)]
struct Bench {
    poll: Poll,
    bell: Bell,
    orders: Receiver<Order>,
    jobs: BTreeMap<Token, (Box<dyn Backend>, Arc<AtomicBool>)>,
    last_words: LastWords,
}

impl Worker {
    /// Starts the thread, under the filter for its kind.
    pub(crate) fn start(
        name: &str,
        kind: Kind,
        last_words: LastWords,
    ) -> Result<Self, ThreadError> {
        let make = |source| ThreadError::Make {
            name: name.to_owned(),
            source,
        };
        let bell = Bell::new().map_err(make)?;
        let poll = Poll::new().map_err(make)?;
        poll.add(&bell, BELL).map_err(make)?;
        let (orders, orders_in) = mpsc::sync_channel(ORDERS);
        let bench = Bench {
            poll,
            bell: bell.clone(),
            orders: orders_in,
            jobs: BTreeMap::new(),
            last_words: last_words.clone(),
        };
        threads::start(name, kind, move || bench.work())?;
        let next = AtomicU64::new(BELL + 1);
        Ok(Self(Arc::new(Desk {
            orders: Some(orders),
            bell,
            next,
            last_words,
        })))
    }

    fn order(&self, order: Order) -> io::Result<()> {
        let sent = self
            .0
            .orders
            .as_ref()
            .is_some_and(|orders| orders.send(order).is_ok());
        self.0.bell.ring();
        if sent {
            Ok(())
        } else {
            Err(io::Error::other("the device's thread has ended"))
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.orders = None;
        self.bell.ring();
    }
}

impl Stage for Worker {
    fn run(&self, backend: Box<dyn Backend>) -> io::Result<Box<dyn Running>> {
        let token = self.0.next.fetch_add(1, Ordering::Relaxed);
        let failed = Arc::new(AtomicBool::new(false));
        self.order(Order::Run {
            token,
            backend,
            failed: Arc::clone(&failed),
        })?;
        Ok(Box::new(Job {
            worker: self.clone(),
            token,
            failed,
        }))
    }

    fn not_started(&self, device: DeviceId, error: &dyn std::error::Error) {
        let text = format!("start the {device:?} device: {}", chain(error));
        self.0
            .last_words
            .say(Cause::new(EndReason::DeviceError, text));
    }
}

impl Running for Job {
    fn stop(self: Box<Self>) {
        let (done, is_done) = mpsc::sync_channel(1);
        if self
            .worker
            .order(Order::Stop {
                token: self.token,
                done,
            })
            .is_ok()
        {
            // However long the storage takes: before that the queues are still being worked on. A thread that has ended has
            // dropped its backends.
            is_done.recv().ok();
        }
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

impl Bench {
    fn work(mut self) {
        loop {
            let ready = match self.poll.wait() {
                Ok(ready) => ready,
                Err(error) => return self.last_words.say(Cause::internal(&error)),
            };
            if !ready.into_iter().all(|token| self.attend(token)) {
                return;
            }
        }
    }

    /// Does what a token asks for; false when the thread's work is over.
    fn attend(&mut self, token: Token) -> bool {
        if token == BELL {
            return self.take_orders();
        }
        self.run(token);
        true
    }

    /// Does all orders that wait; false when there will be no more.
    fn take_orders(&mut self) -> bool {
        if let Err(error) = self.bell.silence() {
            self.last_words.say(Cause::internal(&error));
            return false;
        }
        loop {
            match self.orders.try_recv() {
                Ok(Order::Run {
                    token,
                    backend,
                    failed,
                }) => self.add(token, backend, failed),
                Ok(Order::Stop { token, done }) => {
                    self.remove(token);
                    // Whoever does not wait any more does not want to know.
                    done.send(()).ok();
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn add(&mut self, token: Token, backend: Box<dyn Backend>, failed: Arc<AtomicBool>) {
        match self.poll.add(backend.wake(), token) {
            Ok(()) => drop(self.jobs.insert(token, (backend, failed))),
            Err(error) => self.last_words.say(Cause::internal(&error)),
        }
    }

    /// Lets go of a backend; one that failed is gone already.
    fn remove(&mut self, token: Token) {
        let removed = self.jobs.remove(&token);
        let left = removed.map_or(Ok(()), |(backend, _)| self.poll.remove(backend.wake()));
        if let Err(error) = left {
            self.last_words.say(Cause::internal(&error));
        }
    }

    fn run(&mut self, token: Token) {
        // An event of a backend that an order before it in the same batch has removed.
        let Some((backend, failed)) = self.jobs.get_mut(&token) else {
            return;
        };
        let Err(error) = backend.run() else { return };
        failed.store(true, Ordering::Release);
        // A ring that the driver broke is the driver's to reset. What the host refused will not get better by that.
        if matches!(error, BackendError::Host { .. }) {
            self.last_words
                .say(Cause::new(EndReason::DeviceError, chain(&error)));
        }
        self.remove(token);
    }
}
