//! The node's AppArmor, as far as containers are to run under its profiles. Main functions: [`is_on`], [`find`]. Loading a profile is the
//! administrator's; a guest is given what the node's kernel has loaded.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use tonic::Status;

use crate::{limits, translate::PodKind, work};

/// "Y" where the kernel has it and it is on.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// In it: `profiles`, a line for each profile with its name, and its mode in parentheses; and `policy/profiles`, a folder for each with its `name` and, as
/// `raw_data`, what the kernel was given when it was loaded (security/apparmor/apparmorfs.c).
const ROOT: &str = "/sys/kernel/security/apparmor";

/// What [`find`] could not do.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("this node's kernel has no AppArmor, or it is off")]
    AppArmor,
    #[error("it is not loaded on this node: load it with apparmor_parser")]
    Profile,
    #[error(
        "this node's kernel does not give it back, which a pod in a VM needs: its option SECURITY_APPARMOR_EXPORT_BINARY, or the parameter apparmor.export_binary, is off"
    )]
    Policy,
    #[error(
        "its policy has more than {} bytes, which a guest is not given",
        limits::MOST_APPARMOR_BYTES
    )]
    TooLarge,
    #[error("look for it in {}", path.display())]
    Look { path: PathBuf, source: io::Error },
}

/// Whether containers here can run under a profile.
pub(crate) fn is_on() -> bool {
    is_enabled(Path::new(ENABLED))
}

/// Refuses a profile that the kernel would not find when the container starts. For a VM: gives the compiled policy with it.
pub(crate) async fn find(profile: String, kind: PodKind) -> Result<Option<Vec<u8>>, Status> {
    work::blocking(move || {
        let found = look(&profile, kind, (Path::new(ENABLED), Path::new(ROOT)));
        found.map_err(|missing| refusal(&profile, &missing))
    })
    .await?
}

fn refusal(profile: &str, missing: &Missing) -> Status {
    let why = model::chain(missing);
    let text = format!("the AppArmor profile {profile:?} can't be applied: {why}");
    match missing {
        Missing::Look { .. } => Status::internal(text),
        _ => Status::failed_precondition(text),
    }
}

fn look(
    profile: &str,
    kind: PodKind,
    (enabled, root): (&Path, &Path),
) -> Result<Option<Vec<u8>>, Missing> {
    if !is_enabled(enabled) {
        return Err(Missing::AppArmor);
    }
    let list = root.join("profiles");
    let loaded = fs::read_to_string(&list).map_err(looking(&list))?;
    let mut names = loaded
        .lines()
        .filter_map(|line| line.rsplit_once(" (").map(|(name, _mode)| name));
    if !names.any(|name| name == profile) {
        return Err(Missing::Profile);
    }
    match kind {
        PodKind::Vm => policy(profile, &root.join("policy/profiles")).map(Some),
        PodKind::Host => Ok(None),
    }
}

fn is_enabled(parameter: &Path) -> bool {
    fs::read_to_string(parameter).is_ok_and(|text| text.starts_with('Y'))
}

/// A child or a hat (`parent//child`) is loaded with its parent, so its parent's policy has it, too.
fn policy(profile: &str, folder: &Path) -> Result<Vec<u8>, Missing> {
    let parent = profile
        .split_once("//")
        .map_or(profile, |(parent, _child)| parent);
    let entries = match fs::read_dir(folder) {
        // The kernel tells names only.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Missing::Policy),
        entries => entries.map_err(looking(folder))?,
    };
    for entry in entries {
        let path = entry.map_err(looking(folder))?.path();
        // One that is unloaded meanwhile is not the one that is looked for.
        let name = fs::read_to_string(path.join("name")).unwrap_or_default();
        if name.trim_end_matches('\n') == parent {
            return read(&path.join("raw_data"));
        }
    }
    Err(Missing::Profile)
}

fn read(path: &Path) -> Result<Vec<u8>, Missing> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Missing::Policy),
        file => file.map_err(looking(path))?,
    };
    let most = limits::MOST_APPARMOR_BYTES;
    let mut policy = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut policy);
    match read.map_err(looking(path))? as u64 > most {
        true => Err(Missing::TooLarge),
        false => Ok(policy),
    }
}

fn looking(path: &Path) -> impl FnOnce(io::Error) -> Missing {
    let path = path.to_owned();
    move |source| Missing::Look { path, source }
}

#[cfg(test)]
mod tests;
