//! Whether the node has an AppArmor profile that a container on it is to run under. Main function: [`check_loaded`]. Loading one is the administrator's.

use std::{fs, path::Path};

use tonic::Status;

use crate::work;

/// "Y" where the kernel has it and it is on.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// A line for each profile: its name, and its mode in parentheses.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// Refuses what the kernel would not find when the container starts.
pub(crate) async fn check_loaded(profile: String) -> Result<(), Status> {
    work::blocking(move || check(&profile, Path::new(ENABLED), Path::new(PROFILES))).await?
}

fn check(profile: &str, enabled: &Path, profiles: &Path) -> Result<(), Status> {
    let is_enabled = fs::read_to_string(enabled).is_ok_and(|text| text.starts_with('Y'));
    if !is_enabled {
        return Err(Status::failed_precondition(format!(
            "the AppArmor profile {profile:?} can't be applied: this node's kernel has no AppArmor, or it is off"
        )));
    }
    let loaded = fs::read_to_string(profiles).map_err(|error| {
        let path = profiles.display();
        Status::internal(format!("read the AppArmor profiles in {path}: {error}"))
    })?;
    let mut names = loaded
        .lines()
        .filter_map(|line| line.rsplit_once(" (").map(|(name, _mode)| name));
    if names.any(|name| name == profile) {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "the AppArmor profile {profile:?} is not loaded on this node: load it with apparmor_parser"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_has_to_be_loaded_on_a_node_that_has_apparmor() {
        let folder = tempfile::tempdir().unwrap();
        let (enabled, profiles) = (folder.path().join("enabled"), folder.path().join("list"));
        let check_refused = |profile: &str, words: &str| {
            let status = check(profile, &enabled, &profiles).unwrap_err();
            assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
            assert!(status.message().contains(words), "{status}");
        };
        check_refused("mine", "has no AppArmor");
        fs::write(&enabled, "N\n").unwrap();
        check_refused("mine", "it is off");
        fs::write(&enabled, "Y\n").unwrap();
        let list = "/usr/bin/man (enforce)\nmine (complain)\nwith (odd) name (enforce)\n";
        fs::write(&profiles, list).unwrap();
        check("mine", &enabled, &profiles).unwrap();
        check("with (odd) name", &enabled, &profiles).unwrap();
        check_refused("min", "is not loaded");
        check_refused("with", "is not loaded");
    }
}
