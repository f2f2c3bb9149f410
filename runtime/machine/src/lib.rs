//! A PCIe machine on KVM, without any device of its own: memory, processors, interrupts, buses, PCI, ACPI and PVH boot.
//! Main type: [`board::Board`], what a processor's exits are answered from. Below: the kernel's KVM. Above: `virtio` puts
//! functions on the PCI bus, `vmm` assembles everything.

pub mod memory;

pub mod kvm;

pub mod cpuid;
pub mod processor;

pub mod count;

pub mod board;
pub mod pci;

pub mod doorbell;
pub mod interrupt;

pub mod block_device;
pub mod tap;
pub mod vhost;

pub mod vfio;

pub mod generation;

pub mod acpi;
pub mod boot;
