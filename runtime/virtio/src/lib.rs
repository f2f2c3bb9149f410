//! Virtio 1.3 devices over PCI. Main types: [`device::Device`], what a device implements, and [`transport::VirtioPci`], which makes it
//! a PCI function. Below: `machine`. Above: `vmm`, which decides on which thread a device's work is done.

pub mod device;

pub mod backend;

pub mod queue;
pub mod transport;

pub mod block;
pub mod entropy;
pub mod fs;
pub mod net;
pub mod vsock;

mod limits;
mod poll;

#[cfg(test)]
mod test_driver;
