//! The states of a container. Main type: [`Stage`], which says more than the phase that others see.
//!
//! ```text
//!            StartAsked            Started             ProcessEnded          Settled
//! Created ──────────────► Starting ───────► Running ─────────────────► Ending ──────► Exited ──RemoveAsked──► Removing
//!    │                       └─ StartFailed ──────────────────────────────▲                                      ▲
//!    └──RemoveAsked──────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! `Lost`, the end of the guest, leads from everywhere to Exited.

use model::ExitStatus;

use crate::container::{ContainerPhase, Exit, ExitCause};

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing runs.
    Created,
    /// Its first process is being executed. The agent's event of its end may be faster than the answer to its start.
    Starting {
        /// That early end.
        ended: Option<End>,
    },
    /// Its first process runs.
    Running {
        /// Since when.
        started_at_ns: i64,
    },
    /// Its end is known; its output is on the way, and the guest's resources are being freed.
    Ending(Exit),
    /// It is over.
    Exited(Exit),
    /// It is being removed.
    Removing,
}

/// The end of a first process, as the agent told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) at_ns: i64,
    pub(crate) status: ExitStatus,
}

/// What has happened to a container. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Somebody wants it to run.
    StartAsked,
    /// Its first process has been executed.
    Started { at_ns: i64 },
    /// Its first process could not be executed.
    StartFailed { at_ns: i64, message: String },
    /// Its first process has ended.
    ProcessEnded(End),
    /// Its output has arrived, and nothing of it is left in the guest.
    Settled,
    /// Its guest is gone.
    Lost { at_ns: i64, message: String },
    /// Somebody wants it to go.
    RemoveAsked,
}

/// What the owner has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    None,
    /// Execute its first process.
    Start,
    /// Wait for its output, then free what it has in the guest.
    Settle,
    /// Free what it has in the guest, if anything, and remove its record.
    Remove,
}

/// What can't be done to a container as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// "it is running", for people.
    pub(crate) because: &'static str,
}

/// The stage after `fact`, and what to do. A fact that comes late changes nothing.
///
/// # Errors
/// When what was asked for can't be done to a container in this stage.
pub(crate) fn next(stage: Stage, fact: Fact) -> Result<(Stage, Deed), (Stage, Refusal)> {
    let stays = |stage| Ok((stage, Deed::None));
    match (stage, fact) {
        (Stage::Created, Fact::StartAsked) => Ok((Stage::Starting { ended: None }, Deed::Start)),
        (stage, Fact::StartAsked) => {
            let refusal = why_not_startable(&stage);
            Err((stage, refusal))
        }
        (Stage::Starting { ended: None }, Fact::Started { at_ns }) => stays(Stage::Running {
            started_at_ns: at_ns,
        }),
        (Stage::Starting { ended: Some(end) }, Fact::Started { at_ns }) => {
            // What ended before it was said to have started had started before that.
            Ok((ending(Some(at_ns.min(end.at_ns)), end), Deed::Settle))
        }
        (Stage::Starting { .. }, Fact::StartFailed { at_ns, message }) => {
            let exit = Exit {
                started_at_ns: None,
                finished_at_ns: at_ns,
                cause: ExitCause::NotStarted { message },
            };
            Ok((Stage::Ending(exit), Deed::Settle))
        }
        (Stage::Starting { ended: None }, Fact::ProcessEnded(end)) => {
            stays(Stage::Starting { ended: Some(end) })
        }
        (Stage::Running { started_at_ns }, Fact::ProcessEnded(end)) => {
            Ok((ending(Some(started_at_ns), end), Deed::Settle))
        }
        (Stage::Ending(exit), Fact::Settled) => stays(Stage::Exited(exit)),
        (stage, Fact::Lost { at_ns, message }) => stays(lost(stage, at_ns, message)),
        (Stage::Created | Stage::Exited(_), Fact::RemoveAsked) => {
            Ok((Stage::Removing, Deed::Remove))
        }
        (stage, Fact::RemoveAsked) => Err((
            stage,
            Refusal {
                because: "it has not ended",
            },
        )),
        (stage, _late) => stays(stage),
    }
}

fn why_not_startable(stage: &Stage) -> Refusal {
    let because = match stage {
        Stage::Created | Stage::Starting { .. } => "it is being started",
        Stage::Running { .. } => "it is running",
        Stage::Ending(_) | Stage::Exited(_) => "it has ended; a container runs once",
        Stage::Removing => "it is being removed",
    };
    Refusal { because }
}

/// The end is told by the guest's clock and the start by the host's: no container ends before it started.
fn ending(started_at_ns: Option<i64>, end: End) -> Stage {
    Stage::Ending(Exit {
        started_at_ns,
        finished_at_ns: end.at_ns.max(started_at_ns.unwrap_or(i64::MIN)),
        cause: ExitCause::Ended(end.status),
    })
}

/// What was known of its end counts more than that the guest is gone.
fn lost(stage: Stage, at_ns: i64, message: String) -> Stage {
    let exit = |started_at_ns| Exit {
        started_at_ns,
        finished_at_ns: at_ns,
        cause: ExitCause::Lost { message },
    };
    match stage {
        Stage::Starting { ended: Some(end) } => match ending(None, end) {
            Stage::Ending(exit) => Stage::Exited(exit),
            other => other,
        },
        Stage::Created | Stage::Starting { ended: None } => Stage::Exited(exit(None)),
        Stage::Running { started_at_ns } => Stage::Exited(exit(Some(started_at_ns))),
        Stage::Ending(exit) | Stage::Exited(exit) => Stage::Exited(exit),
        Stage::Removing => Stage::Removing,
    }
}

impl Stage {
    /// What others see, and what the record keeps.
    pub(crate) fn phase(&self) -> Option<ContainerPhase> {
        Some(match self {
            Self::Created => ContainerPhase::Created,
            Self::Starting { .. } => ContainerPhase::Starting,
            Self::Running { started_at_ns } => ContainerPhase::Running {
                started_at_ns: *started_at_ns,
            },
            // Until it has settled; one that never ran had better not be seen running.
            Self::Ending(exit) => exit
                .started_at_ns
                .map_or(ContainerPhase::Starting, |started_at_ns| {
                    ContainerPhase::Running { started_at_ns }
                }),
            Self::Exited(exit) => ContainerPhase::Exited(exit.clone()),
            Self::Removing => return None,
        })
    }

    /// Whether a process of it may be running in the guest.
    pub(crate) fn is_live(&self) -> bool {
        matches!(
            self,
            Self::Starting { .. } | Self::Running { .. } | Self::Ending(_)
        )
    }
}

#[cfg(test)]
mod tests;
