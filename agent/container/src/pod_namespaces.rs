//! Namespaces that the containers of a pod share beside the guest's first ones. A process holds them: this program again, whose end, when
//! the agent lets go of it, ends what is left in the PID namespace. Main type: [`PodNamespaces`].
//!
//! With a user namespace, host name and IPC are the pod's own, too: who is root in there may set them, and nothing of the guest's. The
//! network stays the guest's.
//!
//! ```text
//! agent ──order──► pause ─► user namespace ──"unshared"──► agent writes the maps ──"mapped"──► pause becomes root in there
//!                        ─► PID, UTS, IPC namespaces, host name, sysctls ─► starts init ──its pid──► agent;  pause ends
//!                                                     init holds them, reaps; its standard input is the agent's socket
//! ```

mod order;

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{SigSet, Signal},
    sys::signalfd::{SfdFlags, SignalFd},
};
use oci_spec::runtime::{Linux, LinuxNamespaceBuilder, LinuxNamespaceType, Spec};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::retry_on_intr,
    process::{Gid, Uid, WaitOptions, wait},
    stdio, system, thread,
};

use self::order::{Answer, Mapped, Order};
use crate::{
    deadlines::PAUSE_DEADLINE,
    failure::Failure,
    message::{receive, send},
    user_namespace::{IdMappings, UserNamespace},
};

/// The first argument with which the agent's program makes a pod's namespaces, and with which it holds them.
pub const PAUSE_ARGUMENT: &str = "pause";
pub const INIT_ARGUMENT: &str = "pause-init";

/// The link follows it to every root and over every upgrade.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What a pod is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespacesPlan {
    /// A PID namespace, for the containers that ask for it.
    pub pid: bool,
    /// A user namespace, for all containers.
    pub user: Option<IdMappings>,
    /// With a user namespace: the host name in it.
    pub hostname: String,
    /// With a user namespace: files of /proc/sys that belong to an IPC namespace, and what to write into them.
    pub ipc_sysctls: Vec<(PathBuf, String)>,
}

/// The namespaces. Dropping them ends the PID namespace, with all that is in it.
#[derive(Debug)]
pub struct PodNamespaces {
    holder: u32,
    pid: bool,
    user: Option<UserNamespace>,
    /// The holder waits for its end.
    _socket: UnixStream,
}

impl PodNamespaces {
    /// Makes them. `program` is the agent's, for example /proc/self/exe; its processes become children of the caller, who reaps them.
    /// Blocks.
    ///
    /// # Errors
    /// When the kernel refuses one, or the holder does not come up.
    pub fn start(program: &Path, plan: NamespacesPlan) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::internal("start a process to hold them", &error);
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_read_timeout(Some(PAUSE_DEADLINE))
            .map_err(failed)?;
        let mut pause = Command::new(program)
            .arg(PAUSE_ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let started = direct(&ours, pause.id(), &plan);
        if started.is_err() {
            // It hangs or has died; the socket's end ends what it may have started.
            drop(pause.kill());
        }
        let holder = started?;
        let user = plan.user.map(|mappings| UserNamespace {
            path: of_process(holder, "user"),
            mappings,
        });
        Ok(Self {
            holder,
            pid: plan.pid,
            user,
            _socket: ours,
        })
    }

    /// The user namespace, if the pod has one.
    #[must_use]
    pub fn user(&self) -> Option<&UserNamespace> {
        self.user.as_ref()
    }

    /// Has a container join what it is to share. `pid`: the PID namespace, whatever the specification says of one.
    ///
    /// # Errors
    /// When the specification asks for what the pod does not have.
    pub fn join(&self, spec: &mut Spec, pid: bool) -> Result<(), Failure> {
        if pid && !self.pid {
            return Err(no_pid_namespace());
        }
        let Some(linux) = spec.linux_mut() else {
            return Ok(());
        };
        if pid {
            put(linux, LinuxNamespaceType::Pid, self.path("pid"))?;
        }
        let Some(user) = &self.user else {
            return refuse_user(linux);
        };
        check_user(linux, user)?;
        put(linux, LinuxNamespaceType::User, user.path.clone())?;
        // It is joined, so there is nothing to map.
        linux.set_uid_mappings(None).set_gid_mappings(None);
        for (kind, name) in [
            (LinuxNamespaceType::Uts, "uts"),
            (LinuxNamespaceType::Ipc, "ipc"),
        ] {
            if !lists(linux, kind) {
                put(linux, kind, self.path(name))?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        of_process(self.holder, name)
    }
}

/// The same for a container of a pod that has none.
///
/// # Errors
/// When it asks for one.
pub fn join_none(spec: &mut Spec, pid: bool) -> Result<(), Failure> {
    match spec.linux_mut() {
        _ if pid => Err(no_pid_namespace()),
        Some(linux) => refuse_user(linux),
        None => Ok(()),
    }
}

/// Has the container join the PID namespace that `process` is in, whatever the specification says of one.
///
/// # Errors
/// When the namespace cannot be described.
pub fn join_pid_namespace_of(spec: &mut Spec, process: u32) -> Result<(), Failure> {
    match spec.linux_mut() {
        Some(linux) => put(linux, LinuxNamespaceType::Pid, of_process(process, "pid")),
        None => Ok(()),
    }
}

fn of_process(process: u32, name: &str) -> PathBuf {
    Path::new("/proc")
        .join(process.to_string())
        .join("ns")
        .join(name)
}

fn no_pid_namespace() -> Failure {
    Failure::precondition("the pod was started without share_pid_namespace")
}

fn refuse_user(linux: &Linux) -> Result<(), Failure> {
    match lists(linux, LinuxNamespaceType::User) {
        true => Err(Failure::precondition(
            "the specification lists a user namespace, and the pod was started without one",
        )),
        false => Ok(()),
    }
}

/// One user namespace for all containers of a pod: what they share belongs to it.
fn check_user(linux: &Linux, user: &UserNamespace) -> Result<(), Failure> {
    if !lists(linux, LinuxNamespaceType::User) {
        return Err(Failure::precondition(
            "the pod has a user namespace, and the specification lists none",
        ));
    }
    let uids = linux.uid_mappings().as_deref().unwrap_or_default();
    let gids = linux.gid_mappings().as_deref().unwrap_or_default();
    match user.mappings.equal(uids, gids) {
        true => Ok(()),
        false => Err(Failure::precondition(
            "the specification's uidMappings and gidMappings are not those of the pod's user namespace",
        )),
    }
}

fn lists(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|namespace| namespace.typ() == kind)
}

fn put(linux: &mut Linux, kind: LinuxNamespaceType, path: PathBuf) -> Result<(), Failure> {
    let namespace = LinuxNamespaceBuilder::default()
        .typ(kind)
        .path(path)
        .build()
        .map_err(|error| Failure::internal("join the pod's namespaces", &error))?;
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    namespaces.retain(|namespace| namespace.typ() != kind);
    namespaces.push(namespace);
    linux.set_namespaces(Some(namespaces));
    Ok(())
}

/// The agent's side of the drawing above: the holder's pid.
fn direct(socket: &UnixStream, pause: u32, plan: &NamespacesPlan) -> Result<u32, Failure> {
    let talk = |error: io::Error| Failure::internal("talk to the process that makes them", &error);
    send(socket, &Order::of(plan), &[]).map_err(talk)?;
    if let Some(mappings) = &plan.user {
        match receive(socket).map_err(talk)?.0 {
            Answer::Unshared => {}
            Answer::Failed(failure) => return Err(failure),
            Answer::Started { .. } => return Err(Failure::invalid("it left out the maps")),
        }
        map(pause, mappings)?;
        send(socket, &Mapped, &[]).map_err(talk)?;
    }
    match receive(socket).map_err(talk)?.0 {
        Answer::Started { pid } => Ok(pid),
        Answer::Failed(failure) => Err(failure),
        Answer::Unshared => Err(Failure::invalid("it asked for maps twice")),
    }
}

fn map(process: u32, mappings: &IdMappings) -> Result<(), Failure> {
    let (uids, gids) = mappings.texts();
    for (name, text) in [("uid_map", uids), ("gid_map", gids)] {
        fs::write(format!("/proc/{process}/{name}"), text)
            .map_err(|error| Failure::internal(&format!("write the {name}"), &error))?;
    }
    Ok(())
}

/// Makes the namespaces and their holder, and tells that one's pid. To be called with one thread.
#[must_use]
pub fn pause_main() -> ExitCode {
    code(&start_init())
}

/// The life of the holder. To be called with one thread.
#[must_use]
pub fn init_main() -> ExitCode {
    code(&reap_until_let_go())
}

fn start_init() -> io::Result<()> {
    let socket = UnixStream::from(stdio::stdin().try_clone_to_owned()?);
    let (order, _none): (Order, _) = receive(&socket)?;
    let answer = match make(&socket, &order) {
        Ok(pid) => Answer::Started { pid },
        Err(failure) => Answer::Failed(failure),
    };
    send(&socket, &answer, &[])
}

fn make(socket: &UnixStream, order: &Order) -> Result<u32, Failure> {
    let mut flags = CloneFlags::empty();
    if order.user {
        become_root_inside(socket)
            .map_err(|error| Failure::internal("make the user namespace", &error))?;
        flags |= CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    }
    if order.pid {
        // For children from now on; this process stays where it is (unshare(2)), so it sees the child's pid as the agent does.
        flags |= CloneFlags::CLONE_NEWPID;
    }
    unshare(flags).map_err(|errno| Failure::internal("make the other namespaces", &errno))?;
    if order.user && !order.hostname.is_empty() {
        system::sethostname(order.hostname.as_bytes())
            .map_err(|errno| Failure::internal("set the host name", &errno))?;
    }
    for (path, value) in &order.ipc_sysctls {
        fs::write(path, value).map_err(|error| {
            let path = path.display();
            Failure::internal(&format!("write {value:?} to {path}"), &error)
        })?;
    }
    let init = Command::new(THIS_PROGRAM)
        .arg(INIT_ARGUMENT)
        .env_clear()
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| Failure::internal("start the holder", &error))?;
    Ok(init.id())
}

/// The namespaces that are made from here on, and the kernel's files of them, belong to this user.
fn become_root_inside(socket: &UnixStream) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    send(socket, &Answer::Unshared, &[])?;
    let (Mapped, _none) = receive(socket)?;
    thread::set_thread_groups(&[])?;
    let (gid, uid) = (Gid::ROOT, Uid::ROOT);
    thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(thread::set_thread_res_uid(uid, uid, uid)?)
}

fn reap_until_let_go() -> io::Result<()> {
    let children = SigSet::from_iter([Signal::SIGCHLD]);
    children.thread_block()?;
    let signals = SignalFd::with_flags(&children, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let agent = stdio::stdin();
    loop {
        while let Ok(Some(_reaped)) = wait(WaitOptions::NOHANG) {}
        let mut waits = [
            // The agent never writes: a hang-up is all that comes.
            PollFd::new(&agent, PollFlags::empty()),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        retry_on_intr(|| poll(&mut waits, None))?;
        let [agent_gone, _] = &waits;
        if !agent_gone.revents().is_empty() {
            return Ok(());
        }
        while let Ok(Some(_signal)) = signals.read_signal() {}
    }
}

fn code(result: &io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The agent sees the socket closed and says so.
        Err(_no_agent) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests;
