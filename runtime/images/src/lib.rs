//! From an image archive to a root file system that a VM can use.
//!
//! [`Store::import`] reads an OCI layout, an OCI archive or a `docker save` archive, checks every
//! digest, turns each layer once into an EROFS blob and merges the layers into one metadata blob
//! per image. [`Store::open_rootfs`] hands out the result as a list of [`Segment`]s: laid end to end
//! they are one read-only block device with one plain EROFS on it; a host mounts the first with the others as its extra devices. An image that comes from elsewhere
//! is written through an [`Intake`]. Above: `cofferdam` (commands), `registry` (pulls) and, as a
//! [`Rootfs`] only, `pod`. Below: the file system. Everything here blocks; async callers
//! give it a blocking thread.

pub mod limits;

#[cfg(test)]
mod archive;
mod digest;
mod erofs;
mod layer;
mod merge;
mod reference;
mod source;
mod store;
mod tree;

pub use digest::{Digest, DigestError};
pub use erofs::ErofsError;
pub use layer::{CheckError, EntryProblem, LayerError, LayerLimits, Packing, check_layer};
pub use reference::{Reference, ReferenceError};
pub use source::SourceError;
pub use source::documents::{
    DOCUMENT_TYPES, Document, ImagePlan, Index, Manifest, PlannedLayer, Promise,
};
pub use store::{
    Image, ImageUser, Intake, Progress, Removed, Rootfs, Segment, Store, StoreError, Usage,
};
