//! guest-image: being built.
