//! pod: being built.
