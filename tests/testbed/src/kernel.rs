//! The kernel that a test host boots: Debian's stock one, from its package, unpacked once into the cache.
//!
//! It is a stock kernel on purpose: what works under it works on a node. Main types: [`Kernel`], and [`Source`], of which there are two: that
//! of Debian 12, and a newer one whose VFIO has iommufd, for the tests of that.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Result, TestbedError, bzimage, cache, file_error, tool};

/// Where a kernel comes from.
#[derive(Debug)]
struct Source {
    /// Depends on the package of the current one.
    meta_package: &'static str,
    /// In the kernel's cache folder: which of the kernels there is to be used.
    current: &'static str,
    /// A script that changes the package's modules, with arguments ROOT RELEASE VERSION.
    modules: Option<&'static str>,
}

const STABLE: Source = Source {
    meta_package: "linux-image-amd64",
    current: "current",
    modules: None,
};

const IOMMUFD: Source = Source {
    meta_package: "linux-image-6.12-amd64",
    current: "current-iommufd",
    modules: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/iommufd-modules")),
};

/// Chooses another kernel than the stable one, by its name.
pub(crate) const VARIABLE: &str = "COFFERDAM_TEST_KERNEL";

impl Source {
    fn chosen() -> Result<Self> {
        match std::env::var(VARIABLE).unwrap_or_default().as_str() {
            "" => Ok(STABLE),
            "iommufd" => Ok(IOMMUFD),
            other => Err(TestbedError::NoKernel {
                name: other.to_owned(),
            }),
        }
    }
}

/// An unpacked kernel package.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The uncompressed kernel.
    pub(crate) vmlinux: PathBuf,
    /// `lib/modules` of the package, with the dependency files that depmod makes.
    pub(crate) modules: PathBuf,
    /// What `uname -r` says under it: the name of the only folder in `modules`.
    pub(crate) release: String,
}

/// The kernel in the cache, or else the one that apt has now.
pub(crate) fn find_or_fetch() -> Result<Kernel> {
    let source = Source::chosen()?;
    let folder = cache::folder()?.join("kernel");
    fs::create_dir_all(&folder).map_err(file_error("create", &folder))?;
    let current = || fs::read_to_string(folder.join(source.current)).ok();
    if let Some(name) = current() {
        return open(&folder.join(name));
    }
    let _lock = cache::lock(
        "kernel.lock",
        "another process fetches the kernel: waiting for it",
    )?;
    match current() {
        Some(name) => open(&folder.join(name)),
        None => fetch(&source, &folder),
    }
}

/// The kernel that apt has now; older ones are left in the cache.
pub(crate) fn refresh() -> Result<Kernel> {
    let folder = cache::folder()?.join("kernel");
    fs::create_dir_all(&folder).map_err(file_error("create", &folder))?;
    let _lock = cache::lock(
        "kernel.lock",
        "another process fetches the kernel: waiting for it",
    )?;
    fetch(&Source::chosen()?, &folder)
}

fn fetch(source: &Source, folder: &Path) -> Result<Kernel> {
    let package = newest_package(source.meta_package, folder)?;
    let policy = tool::run(
        "apt-cache",
        &["show", "--no-all-versions", &package],
        folder,
    )?;
    let version = field(&policy, "Version").unwrap_or_default();
    // Epoch and the like hold characters that are awkward in a path.
    let name = format!("{package}_{}", version.replace([':', '/'], "_"));
    let target = folder.join(&name);
    if !target.exists() {
        eprintln!("testbed: fetching {package} {version}, the kernel of the test host");
        let scratch = folder.join("fetching");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(file_error("remove", &scratch))?;
        }
        unpack(source, (&package, &version), &scratch)?;
        fs::rename(&scratch, &target).map_err(file_error("rename to", &target))?;
    }
    let kernel = open(&target)?;
    // The name is put in place whole: others may be reading it.
    let fresh = folder.join("current.new");
    fs::write(&fresh, &name).map_err(file_error("write", &fresh))?;
    fs::rename(&fresh, folder.join(source.current)).map_err(file_error("rename", &fresh))?;
    Ok(kernel)
}

/// Asks apt which package the meta package stands for; fetches apt's lists if it has none.
fn newest_package(meta_package: &'static str, folder: &Path) -> Result<String> {
    let ask = || -> Result<Option<String>> {
        let said = tool::run("apt-cache", &["depends", meta_package], folder);
        // apt-cache fails when it does not know the package, which is what fresh lists may cure.
        Ok(said.ok().and_then(|said| field(&said, "  Depends")))
    };
    if let Some(package) = ask()? {
        return Ok(package);
    }
    eprintln!("testbed: apt has no lists yet: running apt-get update");
    tool::run("apt-get", &["update", "-qq"], folder)?;
    ask()?.ok_or(TestbedError::NoKernelPackage {
        package: meta_package,
    })
}

/// The value of the first `Name: value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim().to_owned())
}

fn unpack(source: &Source, (package, version): (&str, &str), scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch).map_err(file_error("create", scratch))?;
    tool::run("apt-get", &["download", "-qq", package], scratch)?;
    let archive = only_entry(scratch)?;
    let archive_name = archive.to_string_lossy();
    tool::run("dpkg-deb", &["--extract", &archive_name, "."], scratch)?;
    fs::remove_file(&archive).map_err(file_error("remove", &archive))?;

    let modules = scratch.join("lib/modules");
    let release = release_in(&modules)?;
    let base = scratch.to_string_lossy();
    if let Some(script) = source.modules {
        tool::run(script, &[&base, &release, version], scratch)?;
    }
    tool::run("depmod", &["--basedir", &base, &release], scratch)?;
    let image = scratch.join("boot").join(format!("vmlinuz-{release}"));
    bzimage::unpack(&image, &scratch.join("vmlinux"))
}

fn open(folder: &Path) -> Result<Kernel> {
    let modules = folder.join("lib/modules");
    let release = release_in(&modules)?;
    Ok(Kernel {
        vmlinux: folder.join("vmlinux"),
        modules,
        release,
    })
}

fn release_in(modules: &Path) -> Result<String> {
    let entry = only_entry(modules)?;
    Ok(entry
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned())
}

fn only_entry(folder: &Path) -> Result<PathBuf> {
    let wrong = |what: String| TestbedError::KernelPackage {
        path: folder.to_owned(),
        what,
    };
    let mut entries = fs::read_dir(folder).map_err(file_error("list", folder))?;
    match (entries.next(), entries.next()) {
        (Some(Ok(entry)), None) => Ok(entry.path()),
        (None, _) => Err(wrong("it is empty".to_owned())),
        _ => Err(wrong("it has more than one entry".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_of_apt_output_is_first_value() {
        let said = "linux-image-amd64\n  Depends: linux-image-6.1.0-40-amd64\n  Depends: other\n";
        assert_eq!(
            field(said, "  Depends").unwrap(),
            "linux-image-6.1.0-40-amd64"
        );
        assert_eq!(
            field("Package: a\nVersion: 6.1.1-1\n", "Version").unwrap(),
            "6.1.1-1"
        );
        assert_eq!(field("W: nothing\n", "Version"), None);
    }
}
