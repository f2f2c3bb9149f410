//! vm-client: being built.
