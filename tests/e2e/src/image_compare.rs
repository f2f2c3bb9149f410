//! The guest's kernel as judge: what a container sees of its image equals the same layers unpacked by GNU tar and stacked by
//! overlayfs on the host, file by file. The program `list-tree` walks the root inside, and the other tree here.
//!
//! The container has a writable layer like any other, and nothing has been written to it: what it would hide, differs.
//! `trusted.*` attributes are seen with CAP_SYS_ADMIN only, which a container has not; they are compared by the images crate's own
//! test, which looks at the same sample with this host's kernel. It is run here, too.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::image::{Compression, ImageBuilder};
use harness::listing;
use harness::samples::{self, Sample};
use harness::tar_items::{Item, file, folder, tar};
use harness::unpacked::{self, Unpacked};

use crate::Test;
use crate::case::Case;
use crate::deadlines;
use crate::test_host;

/// Names the images crate's test program `kernel_mount`.
pub(crate) const KERNEL_MOUNT_VARIABLE: &str = "COFFERDAM_KERNEL_MOUNT_TEST";

pub(crate) const TESTS: &[Test] = &[
    ("every_kind_of_entry_equals_gnu_tar", |case| {
        let shown = [
            "/bin/sg\t102755\t1000:2000\t",
            "/before-1970\t100644\t0:0\t-86401.250000000\t",
            "user.binary=\\x00\\n\\xff",
            "security.capability=",
            "system.posix_acl_access=",
            "device 259:1000000",
            "\tis /bin/su\n",
        ];
        compare(case, samples::every_kind(), &shown)
    }),
    ("stacked_layers_equal_overlayfs", |case| {
        let shown = ["/remade/new\t", "/etc/shadow\t", "/was-file/inside\t"];
        compare(case, samples::stacked_layers(), &shown)
    }),
    ("large_directories_equal_gnu_tar", |case| {
        let shown = ["/many/00000000000000001999\t", "/edge/0254\t"];
        compare(case, samples::large_directories(), &shown)
    }),
    ("sparse_and_huge_files_equal_gnu_tar", |case| {
        let shown = [
            "/gnu/huge\t",
            "/pax-1.0/huge\t",
            "\tsize 4295067299 ",
            "\tsize 67208867 ",
        ];
        compare(case, samples::sparse_and_huge()?, &shown)
    }),
    (
        "trusted_attributes_equal_gnu_tar_on_this_host",
        kernel_mount,
    ),
];

const NAME: &str = "sample:latest";
const WALKER: &str = "list-tree";

/// Where a container has something else mounted (`runtime/pod/src/oci.rs`).
const MOUNTS: [&str; 3] = ["dev", "proc", "sys"];

/// The one file of the pod's that `run` gives its container (`agent/agentd/src/pod_files.rs`).
const POD_FILE: (&str, &str) = ("etc", "etc/hostname");

/// Compares; what is to be `shown` keeps two empty lists from being equal.
fn compare(case: &Case, sample: Sample, shown: &[&str]) -> Result<()> {
    if let Some(missing) = unpacked::missing() {
        ensure!(!test_host::is_inside(), "the test host lacks {missing}");
        eprintln!("SKIPPED {}: the comparison needs {missing}", sample.name);
        return Ok(());
    }
    let layout = case.folder().join(sample.name);
    let image = ImageBuilder::new(NAME).tar_layer(Compression::Gzip, lowest(case)?);
    sample.upon(image).build()?.write_layout(&layout)?;
    let import = case.cofferdam(&["image", "import", &layout.to_string_lossy()])?;
    case.finish(import, deadlines::RUN)?.expect_code(0)?;

    let ours = list_in_guest(case)?;
    let theirs = list_here(case, &layout)?;
    let differences = listing::differences(&ours, &theirs);
    ensure!(
        differences.is_empty(),
        "{} differences: {differences:#?}",
        differences.len()
    );
    for part in shown {
        ensure!(ours.contains(part), "{part:?} is not in the list:\n{ours}");
    }
    Ok(())
}

/// What a container needs beside the sample: the walker, and what is mounted on, for else it would be made.
fn lowest(case: &Case) -> Result<Vec<u8>> {
    let path = case.dist().join(WALKER);
    let program = fs::read(&path).with_context(|| format!("read {path:?}: run make dist"))?;
    let program = Item {
        mode: 0o755,
        ..file(WALKER, program)
    };
    let mut items = vec![folder("."), program];
    items.extend(MOUNTS.map(folder));
    items.extend([folder(POD_FILE.0), file(POD_FILE.1, "")]);
    Ok(tar(&items))
}

/// The words after the walker's name: the same on both sides.
fn walk_of(root: &str) -> Vec<&str> {
    let mut words = vec!["--without-trusted"];
    let all = MOUNTS.iter().chain([&POD_FILE.1]);
    words.extend(all.flat_map(|name| ["--leave-out", name]));
    words.push(root);
    words
}

fn list_in_guest(case: &Case) -> Result<String> {
    let walker = format!("/{WALKER}");
    let mut arguments = vec!["run", "--image", NAME, "--", &walker];
    arguments.extend(walk_of("/"));
    list(case, case.cofferdam(&arguments)?)
}

fn list_here(case: &Case, layout: &Path) -> Result<String> {
    let unpacked = Unpacked::layout(layout).context("unpack the layers")?;
    let mut walker = Command::new(case.dist().join(WALKER));
    walker.args(walk_of(&unpacked.root().to_string_lossy()));
    list(case, walker)
}

fn list(case: &Case, command: Command) -> Result<String> {
    let ended = case.finish(command, deadlines::COMPARISON)?;
    ended.expect_code(0)?;
    String::from_utf8(ended.stdout).context("the list is text")
}

/// The images crate's own test says aloud what it skips; here it must not.
fn kernel_mount(case: &Case) -> Result<()> {
    let program = env::var_os(KERNEL_MOUNT_VARIABLE).filter(|program| !program.is_empty());
    let program = program.with_context(|| {
        format!("{KERNEL_MOUNT_VARIABLE} must name the test program: `make e2e` builds it")
    })?;
    let mut command = Command::new(program);
    // No other sample has such attributes.
    command.args(["--nocapture", "every_kind"]);
    let ended = case.finish(command, deadlines::COMPARISON)?;
    ended.expect_code(0)?;
    let said = ended.text();
    match said.lines().find(|line| line.contains("SKIPPED")) {
        Some(line) if !test_host::is_inside() => eprintln!("{line}"),
        _ => ensure!(said.contains(" files equal, in "), "{ended}"),
    }
    Ok(())
}
