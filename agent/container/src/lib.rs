//! container: being built.
