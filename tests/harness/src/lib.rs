//! harness: being built.
