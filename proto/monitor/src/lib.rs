//! monitor: being built.
