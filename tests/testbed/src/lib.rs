//! testbed: being built.
