//! Runs the programs of this machine that unpack and order things (apt-get, dpkg-deb, depmod, xz …).

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Result, TestbedError};

/// Runs a command to its end and gives back its output; failure says its last words.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command
            .stdin(Stdio::null())
            .output()
            .map_err(|source| TestbedError::StartTool {
                program: program.clone(),
                source,
            })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(TestbedError::Tool {
        program,
        status: output.status,
        said,
    })
}

pub(crate) fn run(program: &str, arguments: &[&str], directory: &Path) -> Result<String> {
    let bytes = output(Command::new(program).args(arguments).current_dir(directory))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
