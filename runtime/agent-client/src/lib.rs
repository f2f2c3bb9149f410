//! agent-client: being built.
