//! What a container is to be: what CRI asks for over the image's configuration over ours. Main function: [`container_plan`].
//!
//! What the guest can't do yet is refused where a container would be weaker or other than it was promised, in `check`. What it does
//! better or can't do harm with is passed over: seccomp is always the runtime's default profile, processor limits hold by the VM's size,
//! /proc and /sys are the guest's own, so that what is masked in them hides nothing of the node.

mod check;

use std::path::{Path, PathBuf};

use cri::v1::{ContainerConfig, KeyValue, LinuxContainerSecurityContext, PodSandboxConfig};
use images::Image;
use model::{ContainerSpec, Limits, Terminal, User};

use super::{refusal::Refusal, signal};
use crate::settings::ContainerDefaults;

const MIB: u64 = 1 << 20;

type ImageSettings = oci_spec::image::Config;

/// A container, decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) spec: ContainerSpec,
    /// 0 makes the root read-only.
    pub(crate) writable_bytes: u64,
    /// Where its output goes; none when nobody wants it.
    pub(crate) log: Option<PathBuf>,
    /// Linux's number of the signal that asks it to end.
    pub(crate) stop_signal: u32,
}

/// Decides.
pub(crate) fn container_plan(
    config: &ContainerConfig,
    sandbox: &PodSandboxConfig,
    image: &Image,
    defaults: ContainerDefaults,
) -> Result<Planned, Refusal> {
    check::check(config)?;
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security_context.unwrap_or_default();
    let settings = image.config.config().clone().unwrap_or_default();
    let memory = linux
        .resources
        .map_or(0, |resources| resources.memory_limit_in_bytes);
    let writable_mib = if security.readonly_rootfs {
        0
    } else {
        defaults.writable_mib
    };
    Ok(Planned {
        spec: ContainerSpec {
            args: command(config, &settings)?,
            env: environment(&config.envs, &settings)?,
            cwd: working_dir(config, &settings)?,
            user: User::of_image(user(&security, &settings)?),
            stdin: config.stdin,
            terminal: config.tty.then_some(Terminal { size: None }),
            limits: Limits {
                memory_bytes: u64::try_from(memory).ok().filter(|bytes| *bytes > 0),
                pids: Some(defaults.pids_limit).filter(|limit| *limit > 0),
                ..Limits::default()
            },
            read_only_root: security.readonly_rootfs,
            no_new_privileges: security.no_new_privs,
            ..ContainerSpec::new(Vec::new())
        },
        writable_bytes: u64::from(writable_mib) * MIB,
        log: log(&config.log_path, &sandbox.log_directory)?,
        stop_signal: signal::stop_signal(
            config.stop_signal,
            image
                .config
                .config()
                .as_ref()
                .and_then(|of_image| of_image.stop_signal().as_deref()),
        )?,
    })
}

/// A command replaces the image's entrypoint and its arguments; arguments replace the image's arguments.
fn command(config: &ContainerConfig, image: &ImageSettings) -> Result<Vec<String>, Refusal> {
    let mut all = config.command.clone();
    if all.is_empty() {
        all = image.entrypoint().clone().unwrap_or_default();
        if config.args.is_empty() {
            all.extend(image.cmd().clone().unwrap_or_default());
        }
    }
    all.extend(config.args.iter().cloned());
    match all.first() {
        None => Err(Refusal::invalid(
            "neither the container nor its image says a command",
        )),
        Some(first) if first.is_empty() => Err(Refusal::invalid("the command is empty")),
        Some(_) if all.iter().any(|word| word.contains('\0')) => {
            Err(Refusal::invalid("the command has a NUL in it"))
        }
        Some(_) => Ok(all),
    }
}

fn environment(envs: &[KeyValue], image: &ImageSettings) -> Result<Vec<String>, Refusal> {
    let mut all = image.env().clone().unwrap_or_default();
    for KeyValue { key, value } in envs {
        if key.is_empty() || key.contains(['=', '\0']) {
            let text = format!("{key:?} can't be the name of an environment variable");
            return Err(Refusal::invalid(text));
        }
        // The value may be a secret, so it is not said.
        let value = std::str::from_utf8(value)
            .ok()
            .filter(|value| !value.contains('\0'))
            .ok_or_else(|| {
                let text = format!("the environment variable {key:?} is no UTF-8, or has a NUL");
                Refusal::invalid(text)
            })?;
        all.push(format!("{key}={value}"));
    }
    Ok(all)
}

fn working_dir(config: &ContainerConfig, image: &ImageSettings) -> Result<String, Refusal> {
    let asked = &config.working_dir;
    if !asked.is_empty() && !asked.starts_with('/') {
        let text = format!("working_dir {asked:?} is not absolute");
        return Err(Refusal::invalid(text));
    }
    if !asked.is_empty() {
        return Ok(asked.clone());
    }
    let of_image = image.working_dir().clone().unwrap_or_default();
    // Images are built with relative ones, too; they count from the root.
    Ok(format!("/{}", of_image.trim_start_matches('/')))
}

/// `user[:group]` as the guest looks it up.
fn user(
    security: &LinuxContainerSecurityContext,
    image: &ImageSettings,
) -> Result<String, Refusal> {
    let name = &security.run_as_username;
    let user = match (&security.run_as_user, name.as_str()) {
        (Some(_), name) if !name.is_empty() => {
            return Err(Refusal::invalid(
                "at most one of run_as_user and run_as_username can be set",
            ));
        }
        (Some(id), _) => Some(number("run_as_user", id.value)?),
        (None, "") => None,
        (None, name) if name.contains(':') => {
            let text = format!("run_as_username {name:?} has a colon in it");
            return Err(Refusal::invalid(text));
        }
        (None, name) => Some(name.to_owned()),
    };
    let group = security.run_as_group.as_ref();
    let group = group
        .map(|id| number("run_as_group", id.value))
        .transpose()?;
    match (user, group) {
        (Some(user), Some(group)) => Ok(format!("{user}:{group}")),
        (Some(user), None) => Ok(user),
        (None, None) => Ok(image.user().clone().unwrap_or_default()),
        (None, Some(_)) => Err(Refusal::invalid(
            "run_as_group needs a run_as_user or a run_as_username",
        )),
    }
}

/// An id as Linux has it: 32 bits, of which the last value means none (setresuid(2)).
fn number(field: &str, value: i64) -> Result<String, Refusal> {
    match u32::try_from(value) {
        Ok(id) if id != u32::MAX => Ok(id.to_string()),
        _ => Err(Refusal::invalid(format!(
            "{field} {value} is no id of Linux"
        ))),
    }
}

fn log(path: &str, directory: &str) -> Result<Option<PathBuf>, Refusal> {
    if path.is_empty() {
        return Ok(None);
    }
    let whole = Path::new(directory).join(path);
    if whole.is_absolute() {
        Ok(Some(whole))
    } else {
        Err(Refusal::invalid(format!(
            "log_path {path:?} is relative, and the sandbox has no log_directory"
        )))
    }
}

#[cfg(test)]
mod tests;
