//! virtio: being built.
