//! How soon the kernel's OOM killer picks a process (proc_pid_oom_score_adj(5)). Main function: [`set`].
//!
//! The launcher sets its own, and what it starts inherits it. libcontainer would do the same, but its error does not say what was missing.

use std::{fs, io};

use oci_spec::runtime::Process;

use crate::failure::{Failure, FailureKind};

const FILE: &str = "/proc/self/oom_score_adj";

/// Carries out what the specification says, and takes it out of there.
pub(crate) fn set(process: &mut Process) -> Result<(), Failure> {
    let Some(value) = process.oom_score_adj() else {
        return Ok(());
    };
    process.set_oom_score_adj(None);
    fs::write(FILE, value.to_string()).map_err(|error| explain(value, &error))
}

/// Going below the least value that a process with CAP_SYS_RESOURCE ever set takes that capability.
fn explain(value: i32, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure {
            kind: FailureKind::Precondition,
            message: format!(
                "oom_score_adj can't be lowered to {value}: this agent lacks CAP_SYS_RESOURCE"
            ),
        },
        io::ErrorKind::InvalidInput => {
            Failure::invalid(format!("oom_score_adj can't be {value}: -1000 to 1000"))
        }
        _ => Failure::internal(&format!("set oom_score_adj to {value}"), error),
    }
}
