//! The states of a pod and of its containers, and what moves them. Pure: the owner task asks `next` and does what it says.

pub(crate) mod container;
pub(crate) mod pod;
