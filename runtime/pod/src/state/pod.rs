//! The states of a pod. Main type: [`Phase`].
//!
//! ```text
//! Booted ──► Running ──StopAsked──► Silencing ──Silent──► TearingDown ──TornDown──► Stopped ──RemoveAsked──► Gone
//!               │                       │                      ▲                       │
//!               └──────GuestEnded───────┴──────────────────────┘                       └─ (at once if nobody keeps it)
//! ```
//!
//! A start that fails tears down itself: there never was a pod.

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its agent answers; containers may start, run and end.
    Running,
    /// Its containers are being killed, so that their last output arrives; nothing new starts.
    Silencing,
    /// Its teardown is under way.
    TearingDown,
    /// Nothing of it is left on the host but its record.
    Stopped,
    /// Its record is gone, too.
    Gone,
}

/// What has happened to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Somebody wants it to end.
    StopAsked,
    /// Its containers have ended, or had their time.
    Silent,
    /// The guest or its monitor ended by itself.
    GuestEnded,
    /// The teardown is done.
    TornDown,
    /// Somebody wants its record to go.
    RemoveAsked,
}

/// What the owner has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    None,
    /// Kill the containers and wait for their output.
    Silence,
    /// Begin the teardown.
    TearDown,
    /// Remove the record and end the owner task.
    End,
}

/// The phase after `fact`, and what to do. A fact that comes twice or late changes nothing: every pod is torn down once.
pub(crate) fn next(phase: Phase, fact: Fact) -> (Phase, Deed) {
    match (phase, fact) {
        (Phase::Running, Fact::StopAsked) => (Phase::Silencing, Deed::Silence),
        (Phase::Running | Phase::Silencing, Fact::GuestEnded)
        | (Phase::Silencing, Fact::Silent) => (Phase::TearingDown, Deed::TearDown),
        (Phase::TearingDown, Fact::TornDown) => (Phase::Stopped, Deed::None),
        (Phase::Stopped, Fact::RemoveAsked) => (Phase::Gone, Deed::End),
        (phase, _) => (phase, Deed::None),
    }
}

#[cfg(test)]
mod tests;
