//! What `cofferdam run` is to do, decided before anything is touched: the command line over the image's configuration over Cofferdam's
//! configuration. Pure. Main type: [`Plan`].

use images::Image;
use model::{ContainerSpec, Limits, Terminal, User, VmSize, WindowSize};
use thiserror::Error;

use crate::{args::RunArguments, config::Config};

const MIB: u64 = 1 << 20;

/// One run, decided.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) container: ContainerSpec,
    pub(super) size: VmSize,
    pub(super) writable_bytes: u64,
}

/// What of the surroundings a plan depends on.
pub(super) struct Surroundings<'a> {
    /// A variable of this process's environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Size of the terminal that standard input is, if it is one.
    pub(super) window: Option<WindowSize>,
}

/// The arguments and the image don't make a run.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum PlanError {
    #[error("the image has no command of its own: say one after --, for example -- sh")]
    NoCommand,
    #[error("--env {entry:?} has no name before the =")]
    NamelessVariable { entry: String },
    #[error("--workdir {dir:?} is not absolute")]
    RelativeWorkdir { dir: String },
}

/// Decides.
pub(super) fn plan(
    arguments: &RunArguments,
    image: &Image,
    config: &Config,
    surroundings: &Surroundings<'_>,
) -> Result<Plan, PlanError> {
    let memory_mib = arguments.memory.unwrap_or(config.vm.memory_mib);
    let writable_mib = if arguments.read_only {
        0
    } else {
        config.container.writable_mib
    };
    let cpus = arguments.cpus.unwrap_or(config.vm.cpus);
    // A writable layer in guest memory is beside what the container may use.
    let layer_mib = writable_mib.min(config.memory_layer_mib());
    let overhead_mib = config.vm.overhead_mib.saturating_add(layer_mib);
    let pids = arguments.pids_limit.unwrap_or(config.container.pids_limit);
    let settings = image.config.config().clone().unwrap_or_default();
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    Ok(Plan {
        size: VmSize::for_containers(cpus, memory_mib, overhead_mib),
        writable_bytes: u64::from(writable_mib) * MIB,
        container: ContainerSpec {
            env: environment(arguments, &settings, surroundings)?,
            cwd: workdir(arguments, text(settings.working_dir()))?,
            user: User::of_image(
                arguments
                    .user
                    .clone()
                    .or(text(settings.user()))
                    .unwrap_or_default(),
            ),
            stdin: arguments.interactive,
            terminal: arguments.tty.then_some(Terminal {
                size: surroundings.window,
            }),
            limits: Limits {
                memory_bytes: Some(u64::from(memory_mib) * MIB),
                pids: (pids != 0).then_some(pids),
                ..Limits::default()
            },
            read_only_root: arguments.read_only,
            no_new_privileges: arguments.no_new_privileges,
            ..ContainerSpec::new(command(arguments, &settings)?)
        },
    })
}

type Settings = oci_spec::image::Config;

/// As docker and CRI have it: arguments given replace the image's Cmd; its Entrypoint stays before them.
fn command(arguments: &RunArguments, settings: &Settings) -> Result<Vec<String>, PlanError> {
    let mut args = settings.entrypoint().clone().unwrap_or_default();
    if arguments.command.is_empty() {
        args.extend(settings.cmd().clone().unwrap_or_default());
    } else {
        args.extend(arguments.command.iter().cloned());
    }
    if args.is_empty() {
        Err(PlanError::NoCommand)
    } else {
        Ok(args)
    }
}

fn environment(
    arguments: &RunArguments,
    settings: &Settings,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<String>, PlanError> {
    let mut env = settings.env().clone().unwrap_or_default();
    for entry in &arguments.env {
        match entry.split_once('=') {
            Some(("", _)) => {
                return Err(PlanError::NamelessVariable {
                    entry: entry.clone(),
                });
            }
            Some(_) => env.push(entry.clone()),
            None if entry.is_empty() => {
                return Err(PlanError::NamelessVariable {
                    entry: entry.clone(),
                });
            }
            // A name alone passes this process's value on; one that is not set here is not set there.
            None => {
                env.extend((surroundings.variable)(entry).map(|value| format!("{entry}={value}")))
            }
        }
    }
    Ok(env)
}

fn workdir(arguments: &RunArguments, of_image: Option<String>) -> Result<String, PlanError> {
    match &arguments.workdir {
        Some(dir) if !dir.starts_with('/') => Err(PlanError::RelativeWorkdir { dir: dir.clone() }),
        Some(dir) => Ok(dir.clone()),
        None => Ok(of_image.unwrap_or_else(|| "/".to_owned())),
    }
}

#[cfg(test)]
mod tests;
