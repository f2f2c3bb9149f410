//! The descriptor of a queue's doorbell, for whoever waits for it. For [`Kick`]; neighbour: `backend`.
#![expect(
    unsafe_code,
    reason = "vmm-sys-util's eventfd has only a raw descriptor to give"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::backend::Kick;

impl AsFd for Kick {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the eventfd owns the descriptor and is borrowed as long as the result lives.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}
