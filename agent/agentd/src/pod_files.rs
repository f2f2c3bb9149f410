//! The files that a pod gives to its containers: /etc/resolv.conf, /etc/hosts, /etc/hostname. They lie in a folder of the agent's state,
//! in memory, and are shared by the containers as the kubelet's are. Main type: [`PodFiles`]. Blocks.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use agent::agent::StartPodRequest;
use container::{PodFile, Spec};
use thiserror::Error;

use crate::fault::Fault;

/// As agent.proto says. A `hosts` with a line for every service of a namespace is smaller.
const MAX_BYTES: usize = 64 << 10;

/// No container's id begins with a dot.
const FOLDER: &str = ".pod";

const RESOLV_CONF: (&str, &str) = ("resolv.conf", "/etc/resolv.conf");
const HOSTS: (&str, &str) = ("hosts", "/etc/hosts");
const HOSTNAME: (&str, &str) = ("hostname", "/etc/hostname");

/// A file of the pod that could not be kept.
#[derive(Debug, Error)]
#[error("keep the pod's file {path}")]
pub(crate) struct PodFileError {
    path: PathBuf,
    source: io::Error,
}

/// Where they are.
#[derive(Debug, Clone)]
pub(crate) struct PodFiles {
    folder: PathBuf,
}

/// Refuses what is too large.
pub(crate) fn check(request: &StartPodRequest) -> Result<(), Fault> {
    let files = [
        ("resolv_conf", request.resolv_conf.len()),
        ("hosts", request.hosts.len()),
    ];
    match files.iter().find(|(_, length)| *length > MAX_BYTES) {
        Some((field, length)) => Err(Fault::invalid(format!(
            "{field} has {length} bytes, the limit is {MAX_BYTES}"
        ))),
        None => Ok(()),
    }
}

impl PodFiles {
    pub(crate) fn below(state: &Path) -> Self {
        Self {
            folder: state.join(FOLDER),
        }
    }

    /// Keeps those that the request has, and no others. They are this user's and group's, the root of the pod's user namespace, if it has one.
    pub(crate) fn keep(
        &self,
        request: &StartPodRequest,
        owner: Option<(u32, u32)>,
    ) -> Result<(), PodFileError> {
        self.remove()?;
        let hostname = line(&request.hostname);
        let files = [
            (RESOLV_CONF, request.resolv_conf.as_slice()),
            (HOSTS, request.hosts.as_slice()),
            (HOSTNAME, hostname.as_bytes()),
        ];
        if files.iter().all(|(_, content)| content.is_empty()) {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        for ((name, _), content) in files {
            let path = self.folder.join(name);
            if !content.is_empty() {
                write(&path, content, owner).map_err(failed(&path))?;
            }
        }
        Ok(())
    }

    /// Forgets them. Idempotent.
    pub(crate) fn remove(&self) -> Result<(), PodFileError> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(&self.folder)(error))
            }
            _ => Ok(()),
        }
    }

    /// Those that a container of this specification is to see. With a host name of its own it has a file of its own, in its folder.
    pub(crate) fn of(
        &self,
        spec: &Spec,
        folder: &Path,
        owner: Option<(u32, u32)>,
    ) -> Result<Vec<PodFile>, PodFileError> {
        let (name, target) = HOSTNAME;
        let mut files = Vec::new();
        let own = spec.hostname().as_deref().unwrap_or_default();
        if !own.is_empty() && self.folder.exists() {
            let source = folder.join(name);
            write(&source, line(own).as_bytes(), owner).map_err(failed(&source))?;
            files.push(PodFile { source, target });
        }
        for (name, target) in [RESOLV_CONF, HOSTS, HOSTNAME] {
            let source = self.folder.join(name);
            let taken = files.iter().any(|file| file.target == target);
            if !taken && source.exists() {
                files.push(PodFile { source, target });
            }
        }
        Ok(files)
    }
}

fn write(path: &Path, content: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    fs::write(path, content)?;
    match owner {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// Nothing of nothing.
fn line(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{text}\n")
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> PodFileError {
    move |source| PodFileError {
        path: path.to_owned(),
        source,
    }
}
