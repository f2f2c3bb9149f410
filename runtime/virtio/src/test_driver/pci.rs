//! Drives a device through its PCI function as Linux does.
