//! How a device's interrupts find their MSI-X vectors. Main types: [`Signals`], all of one device, and [`Signal`], one source.
//! Above: the transport steers them by what the driver writes; backends trigger them from any thread. Below: `machine`'s vectors.

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU16, Ordering},
    },
};

use machine::interrupt::Wire;

use crate::backend::{Interrupt, Notifier};

/// No vector for this source (virtio 1.3, section 4.1.5.1.2).
pub(super) const NO_VECTOR: u16 = 0xffff;

/// Bit of the ISR register for queues.
const ISR_QUEUE: u8 = 1;
/// Bit of the ISR register for device configuration.
const ISR_CONFIG: u8 = 2;

/// The sources of interrupts of one device: its configuration, and each of its queues.
#[derive(Debug)]
pub(super) struct Signals {
    shown: Arc<Shown>,
    config: Arc<Signal>,
    queues: Vec<Arc<Signal>>,
}

/// What the driver reads about interrupts, changed by whoever triggers.
#[derive(Debug, Default)]
struct Shown {
    isr: AtomicU8,
    generation: AtomicU8,
}

/// One source.
#[derive(Debug)]
struct Signal {
    source: Source,
    vectors: Arc<[Arc<dyn Interrupt>]>,
    chosen: AtomicU16,
    shown: Arc<Shown>,
    /// What the kernel rings it by. A driver steers it under the board's lock; a backend that fails lets go of it on its own thread.
    wire: Mutex<Option<Arc<Wire>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Config,
    Queue,
}

impl Signals {
    /// Sources without vectors.
    pub(super) fn new(vectors: Vec<Arc<dyn Interrupt>>, queues: usize) -> Self {
        let shown = Arc::new(Shown::default());
        let vectors: Arc<[_]> = vectors.into();
        let signal = |source| {
            Arc::new(Signal {
                source,
                vectors: Arc::clone(&vectors),
                chosen: AtomicU16::new(NO_VECTOR),
                shown: Arc::clone(&shown),
                wire: Mutex::default(),
            })
        };
        let config = signal(Source::Config);
        let queues = (0..queues).map(|_| signal(Source::Queue)).collect();
        Self {
            shown,
            config,
            queues,
        }
    }

    /// For those who change the device's configuration.
    pub(super) fn config(&self) -> Notifier {
        Notifier(Arc::<Signal>::clone(&self.config))
    }

    /// For those who give requests of this queue back.
    pub(super) fn queue(&self, index: usize) -> Option<Notifier> {
        let signal = self.queues.get(index)?;
        Some(Notifier(Arc::<Signal>::clone(signal)))
    }

    pub(super) fn choose_for_config(&self, vector: u16) {
        self.config.chosen.store(vector, Ordering::Release);
    }

    /// Fails when the queue has a wire that the vector does not take.
    pub(super) fn choose_for_queue(&self, index: usize, vector: u16) -> io::Result<()> {
        let signal = self.queues.get(index);
        signal.map_or(Ok(()), |signal| signal.choose(vector))
    }

    /// Reads the ISR register, which clears it (section 4.1.4.5).
    pub(super) fn take_isr(&self) -> u8 {
        self.shown.isr.swap(0, Ordering::AcqRel)
    }

    /// Changes with the device's configuration (section 4.1.4.3.1).
    pub(super) fn generation(&self) -> u8 {
        self.shown.generation.load(Ordering::Acquire)
    }

    /// The device is reset: no source has a vector. The generation goes on, for it only has to differ.
    pub(super) fn reset(&self) {
        self.choose_for_config(NO_VECTOR);
        for signal in &self.queues {
            signal.forget();
        }
        self.take_isr();
    }
}

impl Signal {
    fn choose(&self, vector: u16) -> io::Result<()> {
        let wire = self.wire();
        if let Some((wire, before)) = wire.as_ref().zip(self.vector()) {
            before.part(wire);
        }
        self.chosen.store(vector, Ordering::Release);
        match wire.as_ref().zip(self.vector()) {
            Some((wire, now)) => now.join(wire),
            None => Ok(()),
        }
    }

    fn forget(&self) {
        if let Some((wire, vector)) = self.wire().take().zip(self.vector()) {
            vector.part(&wire);
        }
        self.chosen.store(NO_VECTOR, Ordering::Release);
    }

    fn vector(&self) -> Option<&Arc<dyn Interrupt>> {
        let chosen = usize::from(self.chosen.load(Ordering::Acquire));
        self.vectors.get(chosen)
    }

    fn wire(&self) -> MutexGuard<'_, Option<Arc<Wire>>> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interrupt for Signal {
    fn trigger(&self) {
        let shown = &self.shown;
        if self.source == Source::Config {
            shown.generation.fetch_add(1, Ordering::AcqRel);
            shown.isr.fetch_or(ISR_CONFIG, Ordering::AcqRel);
        }
        match self.vector() {
            Some(vector) => vector.trigger(),
            // A driver without vectors can only poll: INTx is not offered.
            None if self.source == Source::Queue => {
                shown.isr.fetch_or(ISR_QUEUE, Ordering::AcqRel);
            }
            None => {}
        }
    }

    fn join(&self, wire: &Arc<Wire>) -> io::Result<()> {
        // Kept first: without a vector now, it may get one later.
        *self.wire() = Some(Arc::clone(wire));
        self.vector().map_or(Ok(()), |vector| vector.join(wire))
    }

    fn part(&self, wire: &Arc<Wire>) {
        let mut slot = self.wire();
        *slot = None;
        if let Some(vector) = self.vector() {
            vector.part(wire);
        }
    }
}
