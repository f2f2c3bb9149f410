//! How a process ended. Main type: [`ExitStatus`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code.
    Exited(u8),
    /// A signal ended it.
    Signaled(u8),
    /// The kernel's OOM killer ended it, or another process of its container and it ended after that: the memory limit was hit.
    OutOfMemory {
        /// The code that a shell would give it.
        code: u8,
    },
}

impl ExitStatus {
    /// The code a shell would give: the exit code, or 128 + the signal's number.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Exited(code) | Self::OutOfMemory { code } => code,
            Self::Signaled(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(out, "exited with code {code}"),
            Self::Signaled(signal) => write!(out, "was ended by signal {signal}"),
            Self::OutOfMemory { code } => {
                write!(out, "was out of memory (OOMKilled, exit code {code})")
            }
        }
    }
}

#[cfg(test)]
mod tests;
