//! Test objects: images made for a test, the `cofferdam` program under test, what a host has and has not.
//!
//! - [`image`]: OCI images in memory, right ones of any shape, written as layout folder, OCI archive or docker-archive
//! - [`busybox`]: the image that most tests run, from Debian's busybox-static
//! - [`cofferdam`]: the program under test with a state of its own, and what it may have left behind
//! - [`probe`]: root, KVM, virtualisation; a test that misses one says so aloud
//!
//! Everything here returns `anyhow` errors: a test that can't be set up fails with the whole story.

pub mod busybox;
pub mod cofferdam;
pub mod image;
pub mod leftovers;
pub mod probe;
