//! Layers on their way, each at most once: whoever wants one that is under way waits for it.
//!
//! Main types: [`Flights`] and [`Flight`]. States of a flight:
//!
//! ```text
//! waiting for a place ──► arriving ──► landed: stored, or failed for everybody who waits
//!         └──────────────────┴──► gone, when the last who waits lets go of it
//! ```
//!
//! A flight is a task; the map holds it weakly and those who wait hold it strongly, so the last to go ends the task. That
//! closes the queue to the converter, whose thread then gives up and takes its files along. Used by `pull`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use images::{Digest, PlannedLayer, StoreError};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, spawn_blocking};

use crate::download::{Download, Stop};
use crate::endpoint::Endpoint;
use crate::error::{Kind, PullError};
use crate::held::HeldIntake;
use crate::limits;
use crate::session::Session;
use crate::stream;

/// What a layer is in the store and what it is in the registry: both, for one unpacked layer may be packed in two ways.
type Key = (Digest, Digest);

/// All flights of a puller.
#[derive(Debug)]
pub(crate) struct Flights {
    /// A lock around a few lines without an await: whoever comes must find a flight or start it in one step.
    under_way: Mutex<HashMap<Key, Weak<Flight>>>,
    places: Arc<Semaphore>,
}

/// One layer on its way. Dropping the last handle ends it.
#[derive(Debug)]
pub(crate) struct Flight {
    news: watch::Receiver<News>,
    task: AbortHandle,
}

/// How far a flight is.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    pub(crate) read_bytes: u64,
    pub(crate) landed: Option<Result<(), Arc<PullError>>>,
}

/// What a flight needs to know.
#[derive(Debug)]
pub(crate) struct Cargo {
    pub(crate) session: Arc<Session>,
    pub(crate) intake: Arc<HeldIntake>,
    pub(crate) layer: PlannedLayer,
    /// Counts from 1, bottom first; for messages.
    pub(crate) number: usize,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Flight {
    /// Waits for the end; `report` gets the packed bytes on the way.
    pub(crate) async fn wait(&self, report: impl Fn(u64)) -> Result<(), Arc<PullError>> {
        let mut news = self.news.clone();
        loop {
            let now = news.borrow_and_update().clone();
            report(now.read_bytes);
            if let Some(landed) = now.landed {
                return landed;
            }
            if news.changed().await.is_err() {
                return Err(Arc::new(PullError::Broken));
            }
        }
    }
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self {
            under_way: Mutex::new(HashMap::new()),
            places: Arc::new(Semaphore::new(limits::LAYERS_AT_ONCE)),
        }
    }

    /// The flight of this layer: one that is under way, or a new one.
    pub(crate) fn board(&self, cargo: Cargo) -> Arc<Flight> {
        let key = (cargo.layer.diff_id, cargo.layer.packed.digest);
        let mut under_way = match self.under_way.lock() {
            Ok(under_way) => under_way,
            // The map is whole at every instant at which a panic could come.
            Err(poisoned) => poisoned.into_inner(),
        };
        let known = under_way.get(&key).and_then(Weak::upgrade);
        if let Some(flight) = known.filter(|flight| flight.news.borrow().landed.is_none()) {
            return flight;
        }
        let (sender, news) = watch::channel(News::default());
        let places = self.places.clone();
        let task = tokio::spawn(async move {
            let landed = match places.acquire_owned().await {
                Ok(_place) => fly(cargo, &sender).await,
                Err(_closed) => Err(PullError::Cancelled),
            };
            sender.send_modify(|news| news.landed = Some(landed.map_err(Arc::new)));
        });
        let task = task.abort_handle();
        let flight = Arc::new(Flight { news, task });
        under_way.retain(|_, flight| flight.strong_count() > 0);
        under_way.insert(key, Arc::downgrade(&flight));
        flight
    }
}

/// Downloads and converts. Bytes that turn out wrong are asked for once more at each host further down: a bad mirror must
/// not keep the registry itself from being asked.
async fn fly(cargo: Cargo, news: &watch::Sender<News>) -> Result<(), PullError> {
    let cargo = Arc::new(cargo);
    let endpoints = cargo.session.endpoints();
    let mut first = 0;
    loop {
        let rest = endpoints.get(first..).unwrap_or_default();
        let result = fly_from(&cargo, rest, news).await;
        first += 1;
        match result {
            Err(error) if error.kind() == Kind::BadContent && first < endpoints.len() => {
                let layer = cargo.layer.packed.digest;
                tracing::warn!(%layer, error = crate::error::chain(&error), "asking another host");
            }
            result => return result,
        }
    }
}

async fn fly_from(
    cargo: &Arc<Cargo>,
    endpoints: &[&Endpoint],
    news: &watch::Sender<News>,
) -> Result<(), PullError> {
    let (pieces, arrival) = stream::arrival();
    let converted = {
        let cargo = cargo.clone();
        spawn_blocking(move || {
            let Cargo { intake, layer, .. } = &*cargo;
            intake.add_layer(layer, cargo.number, arrival, &mut |_bytes| {})
        })
    };
    let report = |read_bytes| news.send_modify(|news| news.read_bytes = read_bytes);
    let promise = cargo.layer.packed;
    let download = Download::new(promise, cargo.session.patience, pieces, &report);
    let downloaded = download.run(endpoints).await;
    let converted = converted.await;
    let converted: Result<(), StoreError> = converted.map_err(|_panic| PullError::Broken)?;
    match downloaded {
        // Then the converter's error is only that the download broke off.
        Err(Stop::Failed(attempts)) => {
            let what = format!("layer {}", promise.digest);
            Err(cargo.session.failure(what, attempts))
        }
        Ok(()) | Err(Stop::NobodyReads) => converted.map_err(PullError::from),
    }
}
