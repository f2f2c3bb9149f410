//! What a pull is doing, for a person who waits.
//!
//! Main type: [`Progress`]. The caller holds the receiving end of a watch channel: it sees the newest state, never a queue.

use images::{Digest, PlannedLayer};

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub stage: Stage,
    /// Bottom first; empty until the manifest is here. A layer that the image has twice is there once.
    pub layers: Vec<LayerProgress>,
}

/// The steps of a pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Asking what the name stands for.
    #[default]
    Resolving,
    /// Layers arrive and are converted.
    Layers,
    /// The layers are merged and the image gets its name.
    Committing,
    /// It is there.
    Done,
}

/// How far one layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// Digest of the packed layer, which registries name it by.
    pub digest: Digest,
    /// Packed bytes in all.
    pub total_bytes: u64,
    /// Packed bytes that have arrived.
    pub read_bytes: u64,
    /// Where it stands.
    pub state: LayerState,
}

/// Where one layer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// Its turn has not come.
    Waiting,
    /// Bytes arrive.
    Arriving,
    /// It was downloaded and is in the store.
    Stored,
    /// The store had it already.
    Present,
}

impl LayerProgress {
    pub(crate) fn waiting(layer: &PlannedLayer) -> Self {
        Self {
            digest: layer.packed.digest,
            total_bytes: layer.packed.size,
            read_bytes: 0,
            state: LayerState::Waiting,
        }
    }
}
