//! The layer below all images: Debian's dynamic busybox, with its C library. Main function: [`layer`].
//!
//! Not busybox-static: its shell runs applets in its own process, so a masked /bin/ls would still list. And each applet
//! is a hard link, because a mask over a symbolic link covers busybox itself.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::image::{Compression, Layer};

use crate::debian::Packages;

pub(crate) const PACKAGES: [&str; 2] = ["busybox", "libc6"];

const LIBRARIES: &str = "lib/x86_64-linux-gnu";
/// busybox and everything above needs no more of the C library.
const OF_LIBC: [&str; 2] = ["libc.so.6", "libresolv.so.2"];
/// The name by which programs ask for the dynamic loader (x86-64 psABI).
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";

/// Applets that make no sense in a container, or are the program itself.
const LEFT_OUT: [&str; 5] = ["busybox", "init", "linuxrc", "login", "su"];

const FOLDERS: [&str; 17] = [
    "bin", "dev", "etc", "home", "lib", LIBRARIES, "lib64", "mnt", "proc", "root", "run", "sbin",
    "sys", "usr", "usr/bin", "usr/sbin", "var",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      www-data:x:33:33:www-data:/var/www:/bin/false\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";

/// Prints the ids of processes whose name holds a word. Debian's busybox has none.
const PGREP: &str = "#!/bin/sh
found=1
for folder in /proc/[0-9]*; do
    [ -r \"$folder/comm\" ] && read -r name <\"$folder/comm\" || continue
    case $name in
    *\"$1\"*) [ \"${folder#/proc/}\" = $$ ] || { echo \"${folder#/proc/}\"; found=0; } ;;
    esac
done 2>/dev/null
exit $found
";

/// Lists the segments of this IPC namespace (proc_sysvipc(5)); without one it prints no digit, which is looked for.
const IPCS: &str = "#!/bin/sh
echo 'key shmid perms'
tail -n +2 /proc/sysvipc/shm | while read -r key shmid perms rest; do echo \"$key $shmid $perms\"; done
";

pub(crate) fn layer(packages: &Packages) -> Result<Layer> {
    let busybox = packages.path("busybox", "bin/busybox")?;
    let listed = Command::new(&busybox).arg("--list").output();
    let listed = listed.context("ask busybox for its list")?;
    ensure!(listed.status.success(), "busybox --list: {}", listed.status);
    let applets = String::from_utf8(listed.stdout).context("busybox's list")?;

    let mut layer = FOLDERS
        .iter()
        .fold(Layer::new(Compression::Gzip), |layer, folder| {
            layer.directory(folder, 0o755)
        })
        .directory("tmp", 0o1777)
        .directory("var/log", 0o755)
        .directory("var/www", 0o755)
        .symlink("var/run", "../run")
        .file(
            "bin/busybox",
            0o755,
            packages.read("busybox", "bin/busybox")?,
        );
    for applet in applets.lines().filter(|name| !LEFT_OUT.contains(name)) {
        layer = layer.hard_link(&format!("bin/{applet}"), "bin/busybox");
    }
    for library in OF_LIBC {
        layer = library_of(packages, layer, "libc6", library)?;
    }
    let loader = packages.read("libc6", &format!("{LIBRARIES}/ld-linux-x86-64.so.2"))?;
    Ok(layer
        .file(LOADER, 0o755, loader)
        .file("bin/pgrep", 0o755, PGREP)
        .file("bin/ipcs", 0o755, IPCS)
        .file("etc/passwd", 0o644, PASSWD)
        .file("etc/group", 0o644, GROUP))
}

/// Adds a library of a package.
pub(crate) fn library_of(
    packages: &Packages,
    layer: Layer,
    package: &str,
    library: &str,
) -> Result<Layer> {
    let path = format!("{LIBRARIES}/{library}");
    let content = packages.read(package, &path)?;
    Ok(layer.file(&path, 0o644, content))
}
