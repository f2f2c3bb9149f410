//! Tests: see `tests/` of the crate.
