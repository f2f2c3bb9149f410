//! The command line. Main type: [`Arguments`]. Parsing only: `main` hands each command to its module.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs OCI containers in KVM microVMs of their own.
///
/// First steps: `cofferdam check` says whether this host can do it; `cofferdam image pull NAME` gets an image;
/// `cofferdam run --image NAME -- COMMAND` runs it.
#[derive(Debug, Parser)]
#[command(
    name = "cofferdam",
    version,
    disable_version_flag = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// Configuration file [default: /etc/cofferdam/config.toml, or built-in defaults where there is none]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a container in a VM of its own; exit as it exits
    ///
    /// The VM boots, the container's output and exit code come back, the VM is gone. A command that a signal ended gives 128
    /// plus the signal's number, as in a shell; 125 means that Cofferdam failed, 126 that the command can't be executed, 127
    /// that it does not exist.
    Run(Box<RunArguments>),
    // Without a text here, the help is that of the arguments, the long part too.
    Serve(ServeArguments),
    /// Pull, import, list and remove images
    #[command(subcommand)]
    Image(ImageCommand),
    /// List the pods that the daemon of this node runs
    ///
    /// Newest first. Any start of an id that no other has stands for it, here and in crictl.
    Pods(ListArguments),
    /// List the containers that the daemon of this node runs
    ///
    /// Newest first. Any start of an id that no other has stands for it, here and in crictl.
    Ps(ListArguments),
    /// List the images: the same as `cofferdam image ls`
    Images(JsonArgument),
    // Without a text here, the help is that of the arguments, the long part too.
    Inspect(InspectArguments),
    /// Say whether this host can run VMs, and what to do where it can't
    Check(CheckArguments),
    /// Print every configuration key with its meaning and default
    Config,
    /// Print versions: the program's, the agent protocol's, the monitor protocol's
    Version(JsonArgument),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cofferdam run --image busybox -- uname -a
  cofferdam run -it --image busybox -- sh
  tar c . | cofferdam run -i --image busybox --memory 512 -- tar t
  cofferdam run --cpus 4 --timings --image busybox -- nproc")]
pub(crate) struct RunArguments {
    /// Image to run: a name, name:tag, digest or id of `cofferdam image ls`
    #[arg(long, value_name = "REF")]
    pub(crate) image: Option<String>,

    /// Virtual processors of the VM [default: vm.cpus of the configuration]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) cpus: Option<u8>,

    /// Memory that the container may use, in MiB; the VM is larger by what its kernel needs [default: vm.memory_mib]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(4..=4_194_304))]
    pub(crate) memory: Option<u32>,

    /// Most processes and threads of the container; 0 is no limit [default: container.pids_limit]
    #[arg(long, value_name = "N")]
    pub(crate) pids_limit: Option<u32>,

    /// Connect standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// Give the container a terminal; Ctrl-C and the window's size reach it
    #[arg(short, long)]
    pub(crate) tty: bool,

    /// Set an environment variable; NAME alone takes the value that it has here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,

    /// Run as this user [default: the image's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,

    /// Working directory in the container [default: the image's]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,

    /// Make the container's root read-only: no writable layer
    #[arg(long)]
    pub(crate) read_only: bool,

    /// Set-user-ID programs give no privileges in the container
    #[arg(long)]
    pub(crate) no_new_privileges: bool,

    /// Print to standard error how long each stage took
    #[arg(long)]
    pub(crate) timings: bool,

    /// Command and arguments [default: the image's]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Serve kubelet: the daemon of a Kubernetes node.
///
/// Serves the Container Runtime Interface (runtime.v1) at the unix socket cri.socket of the configuration until SIGTERM or SIGINT. Pods
/// live on without it; the next daemon finds them. Tells the service manager when it is ready (NOTIFY_SOCKET). COFFERDAM_LOG says how much
/// is logged [default: info].
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cofferdam serve
  cofferdam serve --log-format json
  crictl --runtime-endpoint unix:///run/cofferdam/cri.sock info")]
pub(crate) struct ServeArguments {
    /// Form of the log on standard error
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// Form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

/// Pull, import, list and remove images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    // Without a text here, the help is that of the arguments, the long part too.
    Pull(PullArguments),
    /// Import an OCI layout folder, an OCI archive or a docker-archive (`docker save`)
    Import(ImportArguments),
    /// List the images
    Ls(JsonArgument),
    /// Remove a name; the image goes with its last tag, or when given by id or digest
    Rm(RemoveArguments),
}

/// Pull an image from its registry, or from a mirror of it.
///
/// A short name is one of Docker Hub: busybox is docker.io/library/busybox:latest. Layers that the store has are not fetched again.
/// Each layer is checked and converted while it arrives; a connection that breaks is taken up where it broke. A pull that fails or
/// is interrupted leaves nothing behind. Mirrors, plain http and certificate authorities are set under `registry` in the
/// configuration (see `cofferdam config`).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cofferdam image pull busybox
  cofferdam image pull registry.example:5000/team/app:1.2
  cofferdam image pull registry.example/app@sha256:9a3f...      # by digest; the image then has no tag
  cofferdam image pull --username me --password-stdin registry.example/app < password")]
pub(crate) struct PullArguments {
    /// The image's name; :TAG says which (latest if not said), @DIGEST exactly which
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// User name at the registry; it is sent to the registry itself, and to mirrors with send_credentials
    #[arg(long, value_name = "USER", requires = "password_stdin")]
    pub(crate) username: Option<String>,

    /// Read the password or access token from standard input
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,

    #[command(flatten)]
    pub(crate) output: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Folder or archive, the archive may be packed with gzip or zstd; layers may be plain, gzip or zstd
    #[arg(value_name = "FILE")]
    pub(crate) source: PathBuf,

    /// Name for the image, beside those that the archive gives
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) output: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// Name, digest or id
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Asks the daemon at cri.socket of the configuration (see `cofferdam serve`)."
)]
pub(crate) struct ListArguments {
    /// Also those that do not run
    #[arg(short, long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) output: JsonArgument,
}

/// Show all about one pod, container or image.
///
/// A pod shows how long each stage of its start took, its address, its monitor's process and its cgroup on this host; a container how it
/// ended and where its log is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cofferdam inspect 3f9c
  cofferdam inspect web --json
  cofferdam inspect docker.io/library/busybox:latest")]
pub(crate) struct InspectArguments {
    /// Any start of its id that no other has, or its whole name
    #[arg(value_name = "ID")]
    pub(crate) what: String,

    #[command(flatten)]
    pub(crate) output: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Also explain each GPU and VFIO device of this host: whether it could be given to a VM, or why not. No pod gets one yet
    #[arg(long)]
    pub(crate) vfio: bool,

    #[command(flatten)]
    pub(crate) output: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgument {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests;
