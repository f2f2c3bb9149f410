//! The contract between a monitor and whoever starts it or talks to it: messages, and how one travels. Main types:
//! [`Launch`], the one message a monitor is born with, [`Request`] and [`Reply`]. Neighbours: `vm-client` on the
//! daemon's side, `vmm` on the other. No logic of either side is here.
//!
//! Two sockets carry it, both `SOCK_SEQPACKET`, one JSON message per packet with its descriptors beside it:
//!
//! ```text
//! launch socket   launcher ── Launch ─────────────────► monitor      once, and the socket stays open
//!                 launcher ◄─ Running | Refused ─────── monitor      once
//!                 launcher ◄─ Ended ─────────────────── monitor      once, the last message
//! control socket  client ──── Request ────────────────► monitor      one at a time per connection, up to
//!                 client ◄─── one Reply for each ────── monitor      [`limits::CONTROL_CONNECTIONS`] connections
//!                 client ◄─── Ended ─────────────────── monitor      once, the last message
//! ```
//!
//! A daemon attaches to monitors that older and newer builds started. So the form describes itself, a reader of replies
//! skips fields that it does not know, and a monitor refuses requests that it does not know.

mod address;
mod block_device;
mod control;
mod ending;
mod host_function;
mod launch;
pub mod limits;
mod socket;

pub use address::{DiskId, InvalidName, Mac, NicId, PciAddress, ShareTag};
pub use block_device::BlockDevice;
pub use control::{Datapath, NicStatus, Reply, Request, Running, ShareServer, ShareStatus, Status};
pub use ending::{EndReason, Ending};
pub use host_function::HostFunction;
pub use launch::{
    Console, Disk, Fd, Identity, Invalid, Launch, Lifetime, Nic, NicQueue, Processors, Segment,
    Share, Vfio, VfioAccess, VfioFunction, Vsock,
};
pub use socket::{ReceiveError, Received, SendError, receive, send};

/// Version of this contract. A monitor takes only a [`Launch`] of its own version: both come from one installation.
pub const VERSION: u32 = 1;
