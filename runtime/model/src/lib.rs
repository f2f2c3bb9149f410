//! model: being built.
