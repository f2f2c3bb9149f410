//! Runs one plugin, once. Main function: [`run`]. A plugin is a stranger's program: it gets a clean environment, a process group of its
//! own that is killed as a whole, a deadline, and a limit to what is read of its output.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time,
};

/// Longest answer of a plugin, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How much of its standard error is kept, in bytes; the rest is read and dropped.
const KEPT_COMPLAINT_BYTES: usize = 4 << 10;
/// How much of a plugin's text an error shows, in characters.
const SHOWN_CHARACTERS: usize = 1000;
/// Plugins call iptables, ip and the like.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is asked of a plugin (`CNI_COMMAND`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Join a pod to the network.
    Add,
    /// Remove a pod from it.
    Del,
    /// See whether a pod is still joined as it was.
    Check,
    /// Forget pods that are gone.
    Gc,
    /// Say whether pods can be joined.
    Status,
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
        })
    }
}

/// A plugin that did not do what it was asked for.
#[derive(Debug, Error)]
pub enum PluginError {
    /// There is no such program.
    #[error("find the CNI plugin {program}: it is in none of {}", paths(bin_dirs))]
    Missing {
        /// Its name.
        program: String,
        /// Where it was looked for.
        bin_dirs: Vec<PathBuf>,
    },
    /// The kernel did not run it.
    #[error("run the CNI plugin {}", path.display())]
    Start {
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It said why it failed.
    #[error("CNI plugin {program} failed to {verb}: {}{} (code {code})", shown(message), details.as_deref().map(|text| format!(": {}", shown(text))).unwrap_or_default())]
    Failed {
        /// Its name.
        program: String,
        /// What was asked.
        verb: Verb,
        /// Its error code: below 100 they are the specification's.
        code: u64,
        /// Its message.
        message: String,
        /// More of it.
        details: Option<String>,
    },
    /// It failed without saying why in the form that it should.
    #[error("CNI plugin {program} failed to {verb}: {status}: {}", shown(text))]
    Crashed {
        /// Its name.
        program: String,
        /// What was asked.
        verb: Verb,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote.
        text: String,
    },
    /// It did not end.
    #[error("CNI plugin {program} did not end {} s after {verb} was asked; it was killed", limit.as_secs())]
    Late {
        /// Its name.
        program: String,
        /// What was asked.
        verb: Verb,
        /// How long it had.
        limit: Duration,
    },
    /// It wrote without end.
    #[error(
        "CNI plugin {program} answered {verb} with more than {MAX_ANSWER_BYTES} bytes; it was killed"
    )]
    Flood {
        /// Its name.
        program: String,
        /// What was asked.
        verb: Verb,
    },
    /// Its pipes broke.
    #[error("talk to the CNI plugin {program}")]
    Pipe {
        /// Its name.
        program: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

fn paths(paths: &[PathBuf]) -> String {
    let each = paths.iter();
    each.map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A plugin's text: escaped, and no longer than a person reads.
fn shown(text: &str) -> String {
    let mut shown: String = text
        .trim()
        .chars()
        .take(SHOWN_CHARACTERS)
        .flat_map(char::escape_debug)
        .collect();
    if text.trim().chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

/// One run of a plugin.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) program: &'a str,
    pub(crate) bin_dirs: &'a [PathBuf],
    pub(crate) verb: Verb,
    /// The `CNI_` variables of the verb, beside `CNI_COMMAND` and `CNI_PATH`.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) input: Vec<u8>,
    pub(crate) limit: Duration,
}

/// The answer of a plugin that succeeded.
pub(crate) async fn run(run: Run<'_>) -> Result<Vec<u8>, PluginError> {
    let path = find(run.program, run.bin_dirs)?;
    let mut process = start(&run, &path).await?;
    let talked = time::timeout(run.limit, process.talk(&run.input)).await;
    let program = run.program.to_owned();
    let verb = run.verb;
    match talked {
        Err(_elapsed) => Err(PluginError::Late {
            program,
            verb,
            limit: run.limit,
        }),
        Ok(Err(Broken::Flood)) => Err(PluginError::Flood { program, verb }),
        Ok(Err(Broken::Pipe(source))) => Err(PluginError::Pipe { program, source }),
        Ok(Ok(ended)) if ended.status.success() => Ok(ended.answer),
        Ok(Ok(ended)) => Err(failure(program, verb, &ended)),
    }
}

/// The program's path. The first folder that has it wins, as with `PATH`.
pub(crate) fn find(program: &str, bin_dirs: &[PathBuf]) -> Result<PathBuf, PluginError> {
    let mut candidates = bin_dirs.iter().map(|folder| folder.join(program));
    candidates
        .find(|path| path.is_file())
        .ok_or_else(|| PluginError::Missing {
            program: program.to_owned(),
            bin_dirs: bin_dirs.to_owned(),
        })
}

async fn start(run: &Run<'_>, path: &Path) -> Result<Process, PluginError> {
    let failed = |source| PluginError::Start {
        path: path.to_owned(),
        source,
    };
    let search = std::env::join_paths(run.bin_dirs)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("CNI_COMMAND", run.verb.to_string())
        .env("CNI_PATH", search)
        .envs(run.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // Starting a process waits for its exec: that is not for a thread of the runtime.
    let spawned = tokio::task::spawn_blocking(move || command.spawn()).await;
    let child = spawned.unwrap_or_else(|error| Err(io::Error::other(error)));
    Ok(Process {
        child: child.map_err(failed)?,
    })
}

/// A plugin that runs. Dropped before it has ended, it is killed with all that it started.
#[derive(Debug)]
struct Process {
    child: Child,
}

struct Ended {
    status: ExitStatus,
    answer: Vec<u8>,
    complaint: Vec<u8>,
}

enum Broken {
    Flood,
    Pipe(io::Error),
}

impl Process {
    /// Until its output is closed and it has ended, in this order: before it is waited for, its number can't be another's.
    async fn talk(&mut self, input: &[u8]) -> Result<Ended, Broken> {
        let (stdin, stdout, stderr) = (
            self.child.stdin.take(),
            self.child.stdout.take(),
            self.child.stderr.take(),
        );
        let write = async {
            if let Some(mut stdin) = stdin {
                // A plugin need not read its input; one that should have says so itself.
                drop(stdin.write_all(input).await);
            }
            Ok(())
        };
        let ((), answer, complaint) =
            tokio::try_join!(write, read_answer(stdout), read_complaint(stderr))?;
        let status = self.child.wait().await.map_err(Broken::Pipe)?;
        Ok(Ended {
            status,
            answer,
            complaint,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // None after the wait, when the number may be another's already.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // An error is a group that is gone, which is what is wanted.
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
    }
}

async fn read_answer(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Broken> {
    let mut answer = Vec::new();
    let Some(pipe) = pipe else {
        return Ok(answer);
    };
    let limit = u64::try_from(MAX_ANSWER_BYTES + 1).unwrap_or(u64::MAX);
    let mut pipe = pipe.take(limit);
    pipe.read_to_end(&mut answer).await.map_err(Broken::Pipe)?;
    if answer.len() > MAX_ANSWER_BYTES {
        return Err(Broken::Flood);
    }
    Ok(answer)
}

async fn read_complaint(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Broken> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else {
        return Ok(kept);
    };
    let mut piece = [0; 4096];
    loop {
        let length = pipe.read(&mut piece).await.map_err(Broken::Pipe)?;
        if length == 0 {
            return Ok(kept);
        }
        let room = KEPT_COMPLAINT_BYTES.saturating_sub(kept.len());
        kept.extend(piece.iter().take(length.min(room)));
    }
}

/// The form in which plugins say errors.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    code: u64,
    msg: String,
    #[serde(default)]
    details: Option<String>,
}

fn failure(program: String, verb: Verb, ended: &Ended) -> PluginError {
    match serde_json::from_slice::<Said>(&ended.answer) {
        Ok(said) if !said.msg.is_empty() => PluginError::Failed {
            program,
            verb,
            code: said.code,
            message: said.msg,
            details: said.details.filter(|text| !text.is_empty()),
        },
        _ => {
            let complaint = String::from_utf8_lossy(&ended.complaint);
            let answer = String::from_utf8_lossy(&ended.answer);
            let text = match (complaint.trim(), answer.trim()) {
                ("", "") => "it wrote nothing",
                ("", answer) => answer,
                (complaint, _) => complaint,
            };
            PluginError::Crashed {
                program,
                verb,
                status: ended.status,
                text: text.to_owned(),
            }
        }
    }
}
