//! machine: being built.
