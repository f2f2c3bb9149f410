//! A seccomp profile from a node's files, in the form of the OCI specification or in docker's, which adds `archMap`, `includes` and `excludes`.
//! Main function: [`read`]. What it says about is decided here, so that the agent gets a plain OCI profile.

mod form;

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use thiserror::Error;

use self::form::{Argument, Condition, Profile, Rule};
use crate::oci::capabilities;

/// The largest profile that is read, in bytes: what the agent takes is 1 MiB with all the rest.
const MAX_BYTES: usize = 512 * 1024;

/// What guests are: the word that docker's profiles have for it, and libseccomp's.
const MACHINE: [&str; 2] = ["amd64", "x86_64"];
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";

/// The kernel that every guest has at least (kernel-config/version).
const KERNEL: (u32, u32) = (6, 12);

/// Why a profile can't be used. Fields are named by their place: `syscalls[3].args[0].op`.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// Too long.
    #[error("it has {bytes} bytes; the limit is {MAX_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not JSON, or a value of another type than the field has.
    #[error("it is not the JSON of a profile")]
    Json(#[source] serde_json::Error),
    /// A value that is not known.
    #[error("{field} is {value:?}, which is not one of the {known}")]
    Unknown {
        /// Where.
        field: String,
        /// What.
        value: String,
        /// Of what it should be one.
        known: &'static str,
    },
    /// What no guest can do.
    #[error("{field}: {because}")]
    Unsupported {
        /// Where.
        field: String,
        /// Why.
        because: &'static str,
    },
}

/// The profile for a container with these capabilities.
pub(in crate::oci) fn read(
    text: &str,
    capabilities: &Capabilities,
) -> Result<LinuxSeccomp, ProfileError> {
    if text.len() > MAX_BYTES {
        return Err(ProfileError::TooLarge { bytes: text.len() });
    }
    let profile: Profile = serde_json::from_str(text).map_err(ProfileError::Json)?;
    if profile.listener_path.is_some() {
        return Err(no_listener("listenerPath".to_owned()));
    }
    let mut rules = Vec::new();
    for (index, rule) in profile.syscalls.iter().enumerate() {
        let place = format!("syscalls[{index}]");
        if applies(rule, &place, capabilities)? {
            rules.push(syscall(rule, &place)?);
        }
    }
    let default = action(&profile.default_action, "defaultAction".to_owned())?;
    let mut seccomp = LinuxSeccompBuilder::default()
        .default_action(default)
        .architectures(architectures(&profile)?)
        .syscalls(rules);
    if let Some(errno) = profile.default_errno_ret {
        seccomp = seccomp.default_errno_ret(errno);
    }
    if !profile.flags.is_empty() {
        let flags =
            profile.flags.iter().enumerate().map(|(index, flag)| {
                one_of(flag, || format!("flags[{index}]"), "flags of seccomp(2)")
            });
        seccomp = seccomp.flags(flags.collect::<Result<Vec<_>, _>>()?);
    }
    seccomp
        .build()
        .map_err(|_never| no_listener("the profile".to_owned()))
}

/// Those that are listed; in docker's form the guest's own with those that its processors run as well.
fn architectures(profile: &Profile) -> Result<Vec<Arch>, ProfileError> {
    let known = "architectures of libseccomp";
    let mut all = Vec::new();
    for (index, name) in profile.architectures.iter().enumerate() {
        all.push(one_of(name, || format!("architectures[{index}]"), known)?);
    }
    for (index, map) in profile.arch_map.iter().enumerate() {
        if map.architecture != ARCHITECTURE {
            continue;
        }
        let names = std::iter::once(&map.architecture).chain(&map.sub_architectures);
        for name in names {
            all.push(one_of(name, || format!("archMap[{index}]"), known)?);
        }
    }
    if all.is_empty() {
        all.push(Arch::ScmpArchX86_64);
    }
    Ok(all)
}

fn applies(rule: &Rule, place: &str, held: &Capabilities) -> Result<bool, ProfileError> {
    let includes = matched(&rule.includes, &format!("{place}.includes"), held)?;
    let excludes = matched(&rule.excludes, &format!("{place}.excludes"), held)?;
    Ok(includes.iter().all(|hit| *hit) && !excludes.iter().any(|hit| *hit))
}

/// For each thing that a condition names, whether it is so. Of several architectures one is enough, of capabilities each counts.
fn matched(
    condition: &Condition,
    place: &str,
    held: &Capabilities,
) -> Result<Vec<bool>, ProfileError> {
    let mut hits = Vec::new();
    for (index, name) in condition.caps.iter().enumerate() {
        let capability = capabilities::parse(name).map_err(|_unknown| ProfileError::Unknown {
            field: format!("{place}.caps[{index}]"),
            value: name.clone(),
            known: "kernel's capabilities",
        })?;
        hits.push(held.contains(&capability));
    }
    if !condition.arches.is_empty() {
        let ours = |name: &String| MACHINE.contains(&name.as_str());
        hits.push(condition.arches.iter().any(ours));
    }
    if let Some(kernel) = condition
        .min_kernel
        .as_ref()
        .filter(|text| !text.is_empty())
    {
        let least = version(kernel).ok_or_else(|| ProfileError::Unknown {
            field: format!("{place}.minKernel"),
            value: kernel.clone(),
            known: "versions of a kernel, such as 4.8",
        })?;
        hits.push(KERNEL >= least);
    }
    Ok(hits)
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn syscall(rule: &Rule, place: &str) -> Result<LinuxSyscall, ProfileError> {
    let mut names = rule.names.clone();
    names.extend(rule.name.clone().filter(|name| !name.is_empty()));
    if names.is_empty() {
        return Err(ProfileError::Unsupported {
            field: format!("{place}.names"),
            because: "it names no system call",
        });
    }
    let mut syscall = LinuxSyscallBuilder::default()
        .names(names)
        .action(action(&rule.action, format!("{place}.action"))?);
    if let Some(errno) = rule.errno_ret {
        syscall = syscall.errno_ret(errno);
    }
    let args = rule.args.as_deref().unwrap_or_default();
    if !args.is_empty() {
        let args = args.iter().enumerate();
        let args = args.map(|(index, arg)| argument(arg, &format!("{place}.args[{index}]")));
        syscall = syscall.args(args.collect::<Result<Vec<_>, _>>()?);
    }
    syscall
        .build()
        .map_err(|_never| no_listener(place.to_owned()))
}

fn argument(argument: &Argument, place: &str) -> Result<LinuxSeccompArg, ProfileError> {
    /// A system call has six (syscall(2)).
    const LAST: usize = 5;
    if argument.index > LAST {
        return Err(ProfileError::Unknown {
            field: format!("{place}.index"),
            value: argument.index.to_string(),
            known: "arguments 0 to 5",
        });
    }
    let known = "comparisons of libseccomp";
    let operator: LinuxSeccompOperator = one_of(&argument.op, || format!("{place}.op"), known)?;
    LinuxSeccompArgBuilder::default()
        .index(argument.index)
        .value(argument.value)
        .value_two(argument.value_two)
        .op(operator)
        .build()
        .map_err(|_never| no_listener(place.to_owned()))
}

fn action(name: &str, field: String) -> Result<LinuxSeccompAction, ProfileError> {
    let action = one_of(name, || field.clone(), "actions of libseccomp")?;
    if action == LinuxSeccompAction::ScmpActNotify {
        return Err(no_listener(field));
    }
    Ok(action)
}

fn one_of<Value: std::str::FromStr>(
    text: &str,
    field: impl FnOnce() -> String,
    known: &'static str,
) -> Result<Value, ProfileError> {
    text.parse().map_err(|_unknown| ProfileError::Unknown {
        field: field(),
        value: text.to_owned(),
        known,
    })
}

fn no_listener(field: String) -> ProfileError {
    ProfileError::Unsupported {
        field,
        because: "no program listens for notifications in a guest",
    }
}

#[cfg(test)]
mod tests;
