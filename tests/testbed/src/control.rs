//! The files through which a test host is told what to run and says how it went. They lie in a folder of this machine
//! that the host mounts by 9p; the tags name the shares.

/// Tag of the share with the files below.
pub const CONTROL_TAG: &str = "control";
/// Where PID 1 mounts that share.
pub const CONTROL_MOUNT: &str = "/run/testbed";
/// Tag of this machine's root.
pub const ROOT_TAG: &str = "root";
/// Tag of the kernel package's `lib/modules`.
pub const MODULES_TAG: &str = "modules";
/// Tag of the results folder; absent if there is none.
pub const RESULTS_TAG: &str = "results";
/// Where the command finds that folder.
pub const RESULTS_MOUNT: &str = "/results";

/// An environment variable that is "1" in a test host: deadlines are longer there.
pub const MARK: &str = "COFFERDAM_TESTBED";

/// Name of the port that takes the command's output, when it has no terminal.
pub const OUTPUT_PORT: &str = "output";

/// In the initramfs: modules to load, one name a line, in the order in which they depend on each other.
pub const MODULE_LIST: &str = "modules.order";
/// How the file of a module ends that the kernel decompresses itself; others end in `.ko`.
pub const COMPRESSED_MODULE: &str = ".ko.xz";
/// In the initramfs: the folder of those modules.
pub const MODULE_FOLDER: &str = "modules";

/// To the host: program and arguments, each ended by NUL.
pub const COMMAND: &str = "command";
/// To the host: `NAME=VALUE`, each ended by NUL.
pub const ENVIRONMENT: &str = "environment";
/// To the host: the working directory.
pub const DIRECTORY: &str = "directory";
/// To the host, only for an interactive run: "ROWS COLUMNS" of the terminal.
pub const WINDOW: &str = "window";
/// From the host: seconds of uptime when PID 1 began, and when the command began.
pub const READY: &str = "ready";
/// From the host: a count that goes up while PID 1 lives.
pub const HEARTBEAT: &str = "heartbeat";
/// From the host: "CODE BYTES", the command's exit code and how much output it wrote. The file is renamed into place, so it
/// is whole. Bytes may still be on their way when it appears; once they arrived, nothing of the host is needed any more.
pub const EXIT: &str = "exit";

/// Joins strings, each ended by NUL.
pub fn join<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> String {
    parts
        .into_iter()
        .map(|part| format!("{}\0", part.as_ref()))
        .collect()
}

/// The strings of [`join`].
pub fn split(text: &str) -> Vec<String> {
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_of_joined_parts_is_the_parts() {
        for parts in [&[][..], &["a"], &["", "two words", "new\nline", ""]] {
            assert_eq!(split(&join(parts)), parts);
        }
    }
}
