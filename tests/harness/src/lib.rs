//! Test objects: images made for a test, the `cofferdam` program under test, what a host has and has not.
//!
//! - [`durability`]: blocks that were synced are there after a crash; the program `storage-suite write` makes them
//! - [`edu`]: a driver for a device of QEMU's that shows interrupts and DMA; the program `drive-edu` runs it in a guest
//! - [`escape`]: ways out of a shared folder; the program `storage-suite escape` tries them
//! - [`image`]: OCI images in memory, right ones of any shape, written as layout folder, OCI archive or docker-archive
//! - [`busybox`]: the image that most tests run, from Debian's busybox-static
//! - [`registry`]: Debian's docker-registry with a test's images in it
//! - [`tar_items`]: tar streams by the byte, for what ordinary images do not have
//! - [`samples`]: images with everything that an image may have, to be compared
//! - [`unpacked`]: an image's layers as GNU tar and overlayfs have them, the other side of that comparison
//! - [`listing`]: a tree of files as text, and what differs between two; the program `list-tree` prints one
//! - [`posix`]: what Linux does with files, asked of one folder; the program `storage-suite posix` prints it
//! - [`spdy`]: a client of exec, attach and port-forward, as Kubernetes' clients speak it
//! - [`swapped`]: what a watcher sees of a folder that the kubelet replaces; the program `storage-suite follow` is one
//! - [`speed`]: how long files take where this is asked; the program `storage-suite measure` prints it
//! - [`lone_guest`]: the same as PID 1 of a guest without an agent; the program `storage-suite guest` is one
//! - [`cofferdam`]: the program under test with a state of its own, and what it may have left behind
//! - [`probe`]: root, KVM, virtualisation; a test that misses one says so aloud
//!
//! Everything here returns `anyhow` errors: a test that can't be set up fails with the whole story.

pub mod busybox;
pub mod cofferdam;
pub mod durability;
pub mod edu;
pub mod escape;
pub mod image;
pub mod leftovers;
pub mod listing;
pub mod lone_guest;
pub mod posix;
pub mod probe;
pub mod registry;
pub mod samples;
pub mod spdy;
pub mod speed;
pub mod swapped;
mod sys;
pub mod tar_items;
pub mod unpacked;
