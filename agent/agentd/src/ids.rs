//! Ids that the host chose, checked at the door: they become file names and cgroup names.

use std::fmt;

use crate::fault::Fault;

/// Longest id, in characters. Two of them and a separator fit into the stdio stream's `Open` frame.
const MAX_ID: usize = 128;

/// A container's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ContainerId(String);

/// An id within a container: "" is its first process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct ExecId(String);

/// A volume's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct VolumeId(String);

impl VolumeId {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        check(text, "volume").map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl ContainerId {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        check(text, "container").map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl ExecId {
    /// The id of a process that exists or may exist.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            Ok(Self::default())
        } else {
            Self::parse_new(text)
        }
    }

    /// The id of an exec that is to be started.
    pub(crate) fn parse_new(text: &str) -> Result<Self, Fault> {
        check(text, "exec").map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_first_process(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for ExecId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn check(text: &str, what: &str) -> Result<String, Fault> {
    let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let first = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    if !first || text.len() > MAX_ID || !text.chars().all(known) {
        return Err(Fault::invalid(format!(
            "{text:?} is no {what} id: 1 to {MAX_ID} characters of A-Z a-z 0-9 _ . -, the first a letter or a digit"
        )));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
