//! The first root of a test host: `testbed-init` and the modules that reach the real root, uncompressed, for unpacking
//! costs more than reading under emulation.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use guest_image::cpio::{Archive, Kind};

use crate::kernel::Kernel;
use crate::{Result, TestbedError, control, file_error};

/// The way to the root (PCI, 9p), the command's terminal, the overlay, and what every command here needs; everything
/// else is loaded on demand from the real root. One that is built into the kernel needs no file.
const MODULES: [&str; 9] = [
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "virtio_console",
    "overlay",
    "kvm_amd",
    "tun",
    "vhost_vsock",
    "vhost_net",
];

/// Writes the archive with `init` as PID 1 to `out`.
pub(crate) fn write(kernel: &Kernel, init: &Path, out: &Path) -> Result<()> {
    let tree = kernel.modules.join(&kernel.release);
    let dependencies = tree.join("modules.dep");
    let text = fs::read_to_string(&dependencies).map_err(file_error("read", &dependencies))?;
    let order = load_order(&text, &MODULES);

    let file = File::create(out).map_err(file_error("create", out))?;
    let mut archive = Archive::new(BufWriter::new(file));
    for folder in ["dev", control::MODULE_FOLDER] {
        archive.directory(folder, 0o755)?;
    }
    archive.node(
        "dev/console",
        0o600,
        Kind::CharacterDevice { major: 5, minor: 1 },
    )?;
    add_file(&mut archive, "init", init)?;
    let mut names = String::new();
    for module in order {
        let name = file_name(module);
        if !name.ends_with(".ko") && !name.ends_with(control::COMPRESSED_MODULE) {
            let what = format!("module {module} is compressed, and not as its kernel can read it");
            return Err(TestbedError::KernelPackage { path: tree, what });
        }
        add_file(
            &mut archive,
            &format!("{}/{name}", control::MODULE_FOLDER),
            &tree.join(module),
        )?;
        names.push_str(name);
        names.push('\n');
    }
    let mut content = names.as_bytes();
    archive.file(
        control::MODULE_LIST,
        0o644,
        content.len() as u64,
        &mut content,
    )?;
    archive.finish()?;
    Ok(())
}

fn add_file(archive: &mut Archive<BufWriter<File>>, name: &str, path: &Path) -> Result<()> {
    let mut file = File::open(path).map_err(file_error("open", path))?;
    let size = file.metadata().map_err(file_error("stat", path))?.len();
    Ok(archive.file(name, 0o755, size, &mut file)?)
}

/// The files to load for `wanted`, each after those it depends on. `modules.dep` lists, for each file, all that it needs,
/// in the reverse of the order in which they are to be loaded (modules.dep(5)).
fn load_order<'a>(modules_dep: &'a str, wanted: &[&str]) -> Vec<&'a str> {
    let by_name: HashMap<String, (&str, &str)> = modules_dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| (module_name(path), (path, needs)))
        .collect();
    let mut order: Vec<&str> = Vec::new();
    for name in wanted {
        let Some((path, needs)) = by_name.get(*name) else {
            continue;
        };
        for file in needs.split_whitespace().rev().chain([*path]) {
            if !order.contains(&file) {
                order.push(file);
            }
        }
    }
    order
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The kernel's name of a module: a dash in the file's name is an underscore in it.
fn module_name(path: &str) -> String {
    file_name(path)
        .split('.')
        .next()
        .unwrap_or(path)
        .replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_ordered_after_what_they_need_once_each() {
        let dep = "kernel/virt/kvm.ko: kernel/virt/irqbypass.ko\n\
                   kernel/arch/kvm-amd.ko: kernel/ccp.ko kernel/virt/kvm.ko kernel/virt/irqbypass.ko\n\
                   kernel/net/9p.ko: kernel/net/9pnet.ko kernel/fscache.ko kernel/netfs.ko\n\
                   kernel/net/9pnet_virtio.ko: kernel/net/9pnet.ko\n";
        assert_eq!(
            load_order(dep, &["9p", "9pnet_virtio", "built_in", "kvm_amd"]),
            [
                "kernel/netfs.ko",
                "kernel/fscache.ko",
                "kernel/net/9pnet.ko",
                "kernel/net/9p.ko",
                "kernel/net/9pnet_virtio.ko",
                "kernel/virt/irqbypass.ko",
                "kernel/virt/kvm.ko",
                "kernel/ccp.ko",
                "kernel/arch/kvm-amd.ko",
            ]
        );
    }
}
