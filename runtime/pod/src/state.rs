//! The states of a pod and what moves it between them. Pure: the owner task asks [`next`] and does what it says. Main type: [`Phase`].
//!
//! ```text
//! PodPlan ──start──► Running ──StopAsked──► Stopping ──TornDown──► Gone
//!    │                  │                      ▲
//!    │                  └──────GuestEnded──────┘
//!    └─ a start that fails tears down itself: there never was a pod
//! ```

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its agent answers; containers may start, run and end.
    Running,
    /// Its teardown is under way; nothing new starts.
    Stopping,
    /// Nothing of it is left on the host.
    Gone,
}

/// What has happened to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Somebody wants it to end.
    StopAsked,
    /// The guest or its monitor ended by itself.
    GuestEnded,
    /// The teardown is done.
    TornDown,
}

/// What the owner has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    None,
    /// Begin the teardown.
    TearDown,
    /// End the owner task.
    End,
}

/// The phase after `fact`, and what to do. A fact that comes twice or late changes nothing: every teardown ends in `Gone` once.
pub(crate) fn next(phase: Phase, fact: Fact) -> (Phase, Deed) {
    match (phase, fact) {
        (Phase::Running, Fact::StopAsked | Fact::GuestEnded) => (Phase::Stopping, Deed::TearDown),
        (Phase::Stopping, Fact::TornDown) => (Phase::Gone, Deed::End),
        (phase, _) => (phase, Deed::None),
    }
}

#[cfg(test)]
mod tests;
