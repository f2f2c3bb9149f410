//! Pulls one image: resolve, layers, commit.
//!
//! Main type: [`Puller`]. Dropping the future of [`Puller::pull`] ends the pull; what it wrote is gone soon after, when
//! the threads that write have noticed. Layers that others wait for go on. Above: the program. Below: `resolve`,
//! `flight`, the store.

use std::collections::HashSet;
use std::sync::Arc;

use images::{Image, PlannedLayer, Reference, Store};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};

use crate::auth::AuthConfig;
use crate::client::Clients;
use crate::deadlines::Patience;
use crate::error::PullError;
use crate::flight::{Cargo, Flight, Flights};
use crate::held::HeldIntake;
use crate::hosts::{Hosts, HostsError};
use crate::progress::{LayerProgress, LayerState, Progress, Stage};
use crate::resolve::{self, Resolved};
use crate::session::Session;

/// Pulls images into one store. There should be one in a process: layers are shared among the pulls of one puller.
#[derive(Debug)]
pub struct Puller {
    store: Store,
    hosts: Hosts,
    clients: Clients,
    patience: Patience,
    flights: Flights,
}

impl Puller {
    /// Checks the hosts and reads their certificate authorities, so it blocks.
    pub fn new(store: Store, hosts: Hosts, patience: Patience) -> Result<Self, HostsError> {
        hosts.check()?;
        let clients = Clients::new(&hosts, patience)?;
        Ok(Self {
            store,
            hosts,
            clients,
            patience,
            flights: Flights::new(),
        })
    }

    /// Pulls an image, and gives it under its tag, or under no tag if it was asked for by digest. What the store has is
    /// not fetched again; what the name stands for is always asked. There is no deadline but the caller's.
    pub async fn pull(
        &self,
        name: &Reference,
        auth: &AuthConfig,
        progress: &watch::Sender<Progress>,
    ) -> Result<Image, PullError> {
        let session = Session::new(name, auth, &self.hosts, &self.clients, self.patience)?;
        let session = Arc::new(session);
        let resolved = resolve::resolve(&session).await?;
        let intake = HeldIntake::open(&self.store, name).await?;
        self.layers(&session, &intake, &resolved, progress).await?;
        progress.send_modify(|progress| progress.stage = Stage::Committing);
        let names = resolved.names(name);
        let committed = spawn_blocking(move || intake.commit(&resolved.plan, &names)).await;
        let image = committed.map_err(|_panic| PullError::Broken)??;
        progress.send_modify(|progress| progress.stage = Stage::Done);
        Ok(image)
    }

    /// Brings the layers that are missing, several at once.
    async fn layers(
        &self,
        session: &Arc<Session>,
        intake: &Arc<HeldIntake>,
        resolved: &Resolved,
        progress: &watch::Sender<Progress>,
    ) -> Result<(), PullError> {
        let layers = distinct(&resolved.plan.layers);
        progress.send_modify(|progress| {
            progress.stage = Stage::Layers;
            let rows = layers.iter();
            progress.layers = rows
                .map(|(_, layer)| LayerProgress::waiting(layer))
                .collect();
        });
        let present = present(intake, &layers).await?;
        let mut flights: JoinSet<Result<(), PullError>> = JoinSet::new();
        for (row, (number, layer)) in layers.into_iter().enumerate() {
            if present.get(row) == Some(&true) {
                set(progress, row, LayerState::Present, layer.packed.size);
                continue;
            }
            let flight = self.flights.board(Cargo {
                session: session.clone(),
                intake: intake.clone(),
                layer,
                number,
            });
            let passenger = Passenger {
                name: session.name.to_string(),
                row,
                number,
                layer,
                progress: progress.clone(),
            };
            flights.spawn(passenger.fly(flight));
        }
        // The first failure drops the set, which lets go of the other flights.
        while let Some(landed) = flights.join_next().await {
            landed.map_err(|_panic| PullError::Broken)??;
        }
        Ok(())
    }
}

/// One pull's wait for one layer.
struct Passenger {
    name: String,
    row: usize,
    number: usize,
    layer: PlannedLayer,
    progress: watch::Sender<Progress>,
}

impl Passenger {
    async fn fly(self, flight: Arc<Flight>) -> Result<(), PullError> {
        let report = |bytes| {
            if bytes > 0 {
                set(&self.progress, self.row, LayerState::Arriving, bytes);
            }
        };
        let landed = flight.wait(report).await;
        landed.map_err(|source| PullError::Layer {
            name: self.name,
            number: self.number,
            diff_id: self.layer.diff_id,
            source,
        })?;
        let size = self.layer.packed.size;
        set(&self.progress, self.row, LayerState::Stored, size);
        Ok(())
    }
}

/// Each layer once, with its number.
fn distinct(layers: &[PlannedLayer]) -> Vec<(usize, PlannedLayer)> {
    let mut seen = HashSet::new();
    let numbered = (1..).zip(layers.iter().copied());
    numbered
        .filter(|(_, layer)| seen.insert(layer.diff_id))
        .collect()
}

/// Which layers the store has; it keeps them from here on.
async fn present(
    intake: &Arc<HeldIntake>,
    layers: &[(usize, PlannedLayer)],
) -> Result<Vec<bool>, PullError> {
    let intake = intake.clone();
    let diff_ids: Vec<_> = layers.iter().map(|(_, layer)| layer.diff_id).collect();
    let looked = spawn_blocking(move || {
        let has = diff_ids.into_iter();
        has.map(|diff_id| intake.has_layer(diff_id)).collect()
    });
    let present: Result<Vec<bool>, _> = looked.await.map_err(|_panic| PullError::Broken)?;
    Ok(present?)
}

fn set(progress: &watch::Sender<Progress>, row: usize, state: LayerState, read_bytes: u64) {
    progress.send_modify(|progress| {
        if let Some(layer) = progress.layers.get_mut(row) {
            layer.state = state;
            layer.read_bytes = read_bytes;
        }
    });
}
