//! What kind of thing went wrong: the only part of an error that callers branch on. Main type: [`Fault`]. The text of an error
//! is for people; [`chain`] gives all of it.

use serde::Serialize;

/// The kind of an error, whatever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// What was asked for can never work as asked.
    Invalid,
    /// The object does not exist.
    NotFound,
    /// The object exists, but may not be executed or is in a state that does not allow it.
    Refused,
    /// The host lacks something: KVM, a file, a privilege.
    HostUnfit,
    /// The guest ended or does not answer.
    GuestLost,
    /// A wait ran out.
    DeadlineExceeded,
    /// None of the above: a bug, or a host that is broken.
    Internal,
}

/// An error's text with those of its causes, for where an error can't go on as a value: a record, a message to a client.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
