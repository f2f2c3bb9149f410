//! What a container is to be: what CRI asks for over the image's configuration over ours. Main function: [`container_plan`].
//!
//! What a guest can't do is refused where a container would be weaker or other than it was promised: in `check`, and at the end by `pod`,
//! so that it is CreateContainer that fails. Beside it: `user` and `security`; `translate::resources` has the limits.

mod check;
mod security;
mod user;

use std::path::{Path, PathBuf};

use cri::v1::{ContainerConfig, KeyValue, LinuxContainerSecurityContext, PodSandboxConfig};
use images::Image;
use model::{ContainerSpec, Limits, Terminal};
use pod::SpecificationError;

pub(crate) use self::{check::apparmor_profile, security::seccomp_file};
use super::{
    devices::Devices,
    pod_kind::{self, PodKind},
    refusal::Refusal,
    resources, signal, storage,
    user_namespace::user_namespace,
};
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

/// Decides. `seccomp_profile` is what is in the file that [`seccomp_file`] names.
pub(crate) fn container_plan(
    config: &ContainerConfig,
    (sandbox, kind): (&PodSandboxConfig, PodKind),
    image: &Image,
    defaults: ContainerDefaults,
    seccomp_profile: Option<String>,
    devices: Devices,
) -> Result<Planned, Refusal> {
    let user = user_namespace(sandbox.linux.as_ref())?;
    check::check(config, sandbox, (kind, user.as_ref()))?;
    let linux = config.linux.clone().unwrap_or_default();
    let asked = linux.security_context.unwrap_or_default();
    let settings = image.config.config().clone().unwrap_or_default();
    let resources = linux.resources.unwrap_or_default();
    let own_limits = Limits {
        pids: Some(defaults.pids_limit).filter(|limit| *limit > 0),
        ..Limits::default()
    };
    let of_pod = pod_kind::options(sandbox.linux.as_ref());
    let spec = ContainerSpec {
        args: command(config, &settings)?,
        env: environment(&config.envs, &settings)?,
        cwd: working_dir(config, &settings)?,
        user: user::user(&asked, &settings)?,
        stdin: config.stdin,
        terminal: config.tty.then_some(Terminal { size: None }),
        limits: own_limits.changed(&resources::limits_change(&resources)?),
        read_only_root: asked.readonly_rootfs,
        no_new_privileges: asked.no_new_privs,
        security: security::security(config, seccomp_profile, kind, devices)?,
        namespaces: security::namespaces(&asked, of_pod, (kind, user))?,
        rlimits: Vec::new(),
        oom_score_adj: resources::oom_score_adj(&resources)?,
    };
    pod::check_container(&spec).map_err(|error| unserved(&error))?;
    let name = config.metadata.as_ref().map_or("", |it| it.name.as_str());
    let said = storage::writable_bytes(&sandbox.annotations, name)?;
    let writable_bytes = match asked.readonly_rootfs {
        true => 0,
        false => said.unwrap_or(u64::from(defaults.writable_mib) * MIB),
    };
    Ok(Planned {
        spec,
        writable_bytes,
        log: log(&config.log_path, &sandbox.log_directory)?,
        stop_signal: signal::stop_signal(config.stop_signal, settings.stop_signal().as_deref())?,
    })
}

/// A device may be right, and in no guest; all else that `pod` says is wrong.
fn unserved(error: &SpecificationError) -> Refusal {
    let text = model::chain(error);
    match error {
        SpecificationError::Device { .. } => Refusal::Unimplemented(text),
        _ => Refusal::Invalid(text),
    }
}

fn security_context(config: &ContainerConfig) -> Option<&LinuxContainerSecurityContext> {
    config.linux.as_ref()?.security_context.as_ref()
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
