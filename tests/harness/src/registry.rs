//! Debian's docker-registry on loopback, with a test's images in it. Main types: [`Storage`], the folder that it serves,
//! and [`Registry`], the program.
//!
//! Images are put where the program looks for them, in its documented layout (distribution, registry/storage/paths.go),
//! instead of being pushed: that needs no client, and works before any program runs.

mod storage;
mod tokens;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

pub use storage::Storage;
pub use tokens::{IDENTITY_TOKEN, Token, TokenServer};

const PROGRAM: &str = "docker-registry";
/// Until it answers: a tenth of a second on hardware.
const START: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How much of its log stands in an error.
const SHOWN_BYTES: usize = 2000;

/// Who may read.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    Everyone,
    /// Those who say [`USER`] and [`PASSWORD`].
    WithPassword,
    /// Those who have a token of this server.
    WithToken(&'a TokenServer),
}

pub const USER: &str = "reader";
pub const PASSWORD: &str = "pass:word";
/// `htpasswd -nbB -C 4 reader pass:word`: docker-registry takes bcrypt only, and four rounds are the fewest there are.
const HTPASSWD: &str = "reader:$2a$04$nB1uzoQrTTogslP.JPH1DOKY/3eWYUHSVNIc2mA0DZ5.oHfPCwWd6\n";

/// A running registry. It ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
}

impl Registry {
    /// Serves a storage, on a port that nobody has.
    pub fn start(storage: &Storage, access: Access<'_>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        let address = listener.local_addr().context("ask for the free port")?;
        drop(listener);
        let folder = TempDir::with_prefix("registry-test.").context("make a folder")?;
        let configuration = configuration(storage.folder(), address, access, folder.path());
        fs::write(folder.path().join("htpasswd"), HTPASSWD).context("write the passwords")?;
        fs::write(folder.path().join("config.yml"), configuration)
            .context("write the registry's configuration")?;
        let mut registry = Self {
            address,
            folder,
            child: None,
        };
        registry.resume()?;
        Ok(registry)
    }

    /// What stands before an image's name, and where a mirror is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it, with its connections.
    pub fn cut(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            bail!("the registry on {} does not run", self.address);
        };
        child.kill().context("kill the registry")?;
        child.wait().context("wait for the registry")?;
        Ok(())
    }

    /// Starts it again after [`Self::cut`], at the same address, and waits until it answers.
    pub fn resume(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the registry runs already");
        let log = File::create(self.log_path()).context("make the registry's log")?;
        let child = Command::new(PROGRAM)
            .arg("serve")
            .arg(self.folder.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the registry's log")?)
            .stderr(log)
            .spawn()
            .with_context(|| {
                format!("start {PROGRAM}: install Debian's docker-registry (tests/testbed/packages registry)")
            })?;
        self.child = Some(child);
        self.wait_until_it_answers()
    }

    /// Stops it in its tracks: connections stay, and nothing comes on them.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the registry does not run")?;
        rustix::process::kill_process(Pid::from_child(child), signal)
            .context("send the registry a signal")
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            let child = self.child.as_mut().context("the registry does not run")?;
            if let Some(status) = child.try_wait().context("look after the registry")? {
                self.child = None;
                bail!("the registry ended at once ({status}): {}", self.log());
            }
            ensure!(
                Instant::now() < deadline,
                "the registry does not answer within {START:?}: {}",
                self.log()
            );
            thread::park_timeout(LOOK_AGAIN);
        }
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The end of what it logged since it was last started.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        let end = &bytes[bytes.len().saturating_sub(SHOWN_BYTES)..];
        format!("{:?}", String::from_utf8_lossy(end))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // One that was cut is none any more.
        self.cut().ok();
    }
}

/// JSON is YAML too, and quotes what must be quoted. Read-only: without it the program wants to write to its storage.
fn configuration(storage: &Path, address: SocketAddr, access: Access<'_>, folder: &Path) -> String {
    let auth = match access {
        Access::Everyone => serde_json::Value::Null,
        Access::WithPassword => serde_json::json!({
            "htpasswd": { "realm": "tests", "path": folder.join("htpasswd") }
        }),
        Access::WithToken(server) => serde_json::json!({
            "token": {
                "realm": server.realm(),
                "service": tokens::SERVICE,
                "issuer": tokens::ISSUER,
                "rootcertbundle": server.certificate(),
            }
        }),
    };
    let mut configuration = serde_json::json!({
        "version": "0.1",
        "log": { "level": "warn" },
        "storage": {
            "filesystem": { "rootdirectory": storage },
            "maintenance": { "readonly": { "enabled": true }, "uploadpurging": { "enabled": false } },
        },
        "http": { "addr": address.to_string() },
    });
    if !auth.is_null() {
        configuration["auth"] = auth;
    }
    configuration.to_string()
}

#[cfg(test)]
mod tests;
