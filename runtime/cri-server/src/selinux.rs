//! Whether the node has SELinux, whose labels containers on it are not given yet. Main function: [`check_absent`].

use std::path::Path;

use tonic::Status;

use crate::work;

/// There where the kernel has it and it is on (selinux(8)).
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// Refuses a label that a container on the node would have where there is SELinux: it would run with another, in silence.
pub(crate) async fn check_absent(label: String) -> Result<(), Status> {
    work::blocking(move || check(&label, Path::new(ENFORCE))).await?
}

fn check(label: &str, enforce: &Path) -> Result<(), Status> {
    match enforce.exists() {
        false => Ok(()),
        true => Err(Status::unimplemented(format!(
            "the selinux_options {label:?} can't be set: this node has SELinux, and containers on it get no labels yet"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_means_nothing_where_there_is_no_selinux() {
        let folder = tempfile::tempdir().unwrap();
        let enforce = folder.path().join("enforce");
        check(":::s0", &enforce).unwrap();
        std::fs::write(&enforce, "1").unwrap();
        let status = check(":::s0", &enforce).unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert!(status.message().contains(":::s0"), "{status}");
    }
}
