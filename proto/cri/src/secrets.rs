//! `Debug` of the messages that carry secrets, so that no log line and no error shows one.
//!
//! `build.rs` keeps the generated ones away. A new field must be named here before this compiles. Neighbour: `v1`.

use std::fmt;

use crate::v1::{AuthConfig, KeyValue};

/// How long a secret is: enough to see whether it is there.
struct Hidden(usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "<{} bytes>", self.0)
    }
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            username,
            password,
            auth,
            server_address,
            identity_token,
            registry_token,
        } = self;
        formatter
            .debug_struct("AuthConfig")
            .field("username", username)
            .field("password", &Hidden(password.len()))
            .field("auth", &Hidden(auth.len()))
            .field("server_address", server_address)
            .field("identity_token", &Hidden(identity_token.len()))
            .field("registry_token", &Hidden(registry_token.len()))
            .finish()
    }
}

/// An environment variable: kubelet puts the values of Secrets there.
impl fmt::Debug for KeyValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value } = self;
        formatter
            .debug_struct("KeyValue")
            .field("key", key)
            .field("value", &Hidden(value.len()))
            .finish()
    }
}
