//! What `check` looks at. Main type: [`Facts`]. Reading only; `check` judges.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
};

use cri_server::{Guest, Handler};

use crate::config::Config;

/// What there is on this host.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kvm: KvmKind,
    pub(super) kernel_release: String,
    pub(super) kernel_version: (u32, u32),
    pub(super) cgroup_v2: bool,
    pub(super) uid: u32,
    /// Effective capabilities, one bit each.
    pub(super) capabilities: u64,
    pub(super) files: Vec<FileFact>,
}

/// What /dev/kvm is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KvmKind {
    Hardware { module: String },
    Nested { module: String },
    Software,
    NoAccess { reason: String },
    Absent { processor_can: bool },
}

/// A file that a run needs.
#[derive(Debug)]
pub(super) struct FileFact {
    pub(super) what: &'static str,
    pub(super) key: String,
    pub(super) path: PathBuf,
    pub(super) problem: Option<String>,
}

impl Facts {
    pub(super) fn collect(config: &Config) -> Self {
        let kernel_release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        Self {
            kvm: kvm_kind(),
            kernel_version: version_of(&kernel_release),
            kernel_release,
            cgroup_v2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            uid: rustix::process::geteuid().as_raw(),
            capabilities: effective_capabilities(),
            files: files(config),
        }
    }
}

fn files(config: &Config) -> Vec<FileFact> {
    let guest = config.guest();
    let mut files = of_guest(&guest, "");
    files.extend([
        FileFact {
            what: "monitor",
            key: "monitor".to_owned(),
            path: config.monitor.clone(),
            problem: begins_with(&config.monitor, b"\x7fELF", "not a program"),
        },
        FileFact {
            what: "share server",
            key: "share_server".to_owned(),
            path: config.share_server.clone(),
            problem: begins_with(&config.share_server, b"\x7fELF", "not a program"),
        },
        FileFact {
            what: "scratch template",
            key: "scratch_template".to_owned(),
            path: config.scratch_template.clone(),
            problem: begins_with(
                &config.scratch_template,
                b"CFDISK",
                "not a template of scratch disks",
            ),
        },
    ]);
    for (name, handler) in config.cri.runtime_handlers.laid_over(&guest) {
        let Handler::Vm(own) = handler else {
            continue;
        };
        let of_handler = of_guest(&own, &format!("cri.runtime_handlers.{name}."));
        let usual = |file: &FileFact| [&guest.kernel, &guest.image].contains(&&file.path);
        files.extend(of_handler.into_iter().filter(|file| !usual(file)));
    }
    files
}

/// Kernel and image, whose keys begin like this.
fn of_guest(guest: &Guest, key: &str) -> Vec<FileFact> {
    vec![
        FileFact {
            what: "guest kernel",
            key: format!("{key}kernel"),
            path: guest.kernel.clone(),
            problem: begins_with(&guest.kernel, b"\x7fELF", "not an ELF file (a vmlinux)"),
        },
        FileFact {
            what: "guest image",
            key: format!("{key}guest_image"),
            path: guest.image.clone(),
            problem: begins_with(&guest.image, b"070701", "not a newc cpio archive"),
        },
    ]
}

fn kvm_kind() -> KvmKind {
    let flags = cpu_flags(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => KvmKind::Absent {
            processor_can: flags.virtualises,
        },
        Err(error) => KvmKind::NoAccess {
            reason: error.to_string(),
        },
        Ok(_kvm) if !flags.virtualises => KvmKind::Software,
        Ok(_kvm) => {
            let module = ["kvm_intel", "kvm_amd"]
                .into_iter()
                .find(|module| Path::new("/sys/module").join(module).exists())
                .unwrap_or("kvm")
                .to_owned();
            if flags.in_hypervisor {
                KvmKind::Nested { module }
            } else {
                KvmKind::Hardware { module }
            }
        }
    }
}

struct CpuFlags {
    virtualises: bool,
    in_hypervisor: bool,
}

fn cpu_flags(cpuinfo: &str) -> CpuFlags {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    let has = |flag: &str| line.split_whitespace().any(|word| word == flag);
    CpuFlags {
        virtualises: has("vmx") || has("svm"),
        in_hypervisor: has("hypervisor"),
    }
}

fn version_of(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0)
}

fn begins_with(path: &Path, magic: &[u8], otherwise: &str) -> Option<String> {
    let mut head = vec![0; magic.len()];
    match File::open(path).and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) if head == magic => None,
        Ok(()) => Some(otherwise.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(otherwise.to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
