//! What the `error` stream says at the end. Main function: [`status`]. Above: `remote_command`.

use serde_json::json;

use crate::backend::End;

#[cfg(test)]
mod tests;

/// How an end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// Up to version 3: a sentence, and nothing where all went well.
    Text,
    /// From version 4 on: a `Status` of Kubernetes' API.
    Status,
}

/// How a command ended, as bytes of the `error` stream.
pub(super) fn status(end: &End, report: Report) -> String {
    match (report, end) {
        (Report::Text, End::Exited(0)) => String::new(),
        (Report::Text, End::Exited(code)) => non_zero(*code),
        (Report::Text, End::Failed(why)) => why.clone(),
        (Report::Status, End::Exited(0)) => json!({ "status": "Success" }).to_string(),
        // Clients read the code from the cause whose *reason* is ExitCode, as a decimal text.
        (Report::Status, End::Exited(code)) => json!({
            "status": "Failure",
            "message": non_zero(*code),
            "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        })
        .to_string(),
        (Report::Status, End::Failed(why)) => json!({
            "status": "Failure",
            "message": why,
            "reason": "InternalError",
            "code": 500,
        })
        .to_string(),
    }
}

fn non_zero(code: u8) -> String {
    format!("command terminated with non-zero exit code: {code}")
}
