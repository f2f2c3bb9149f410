//! Launches that fail: the reason is clear, and no process and no socket is left.

use std::{
    fs,
    io::{Seek, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use vm_client::{LaunchPlan, Monitor, VfioInterface, VfioPlan};

use crate::{
    guest,
    stage::{Scene, chain, patience, soon},
};

async fn check(change: impl FnOnce(&mut LaunchPlan), expect: &str) {
    let Some(scene) = Scene::set() else { return };
    let mut plan = scene.plan(guest::WAITS);
    change(&mut plan);
    let error = soon(Monitor::launch(plan)).await.map(|_| ()).unwrap_err();
    let text = chain(&error);
    assert!(text.contains(expect), "{text}");
    assert_eq!(
        fs::read_dir(scene.folder()).unwrap().count(),
        0,
        "sockets are left"
    );
}

fn garbage() -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[0x90; 8192]).unwrap();
    file.rewind().unwrap();
    file
}

#[tokio::test]
async fn kernel_of_garbage_is_refused() {
    check(
        |plan| plan.kernel = garbage(),
        "it must be an uncompressed x86-64 vmlinux",
    )
    .await;
}

#[tokio::test]
async fn machine_that_no_plan_can_be_is_refused_before_anything_starts() {
    check(
        |plan| plan.memory_bytes = 1 << 20,
        "1048576 bytes of memory",
    )
    .await;
    check(|plan| plan.processors.max = 0, "1 of 0 processors").await;
}

#[tokio::test]
async fn guest_image_that_does_not_fit_is_refused() {
    let image = tempfile::tempfile().unwrap();
    image.set_len(128 << 20).unwrap();
    check(
        |plan| plan.guest_image = Some(image),
        "give the machine more memory",
    )
    .await;
}

/// Before the jail shuts; what comes after needs an IOMMU, and a right to more locked memory.
#[tokio::test]
async fn function_by_what_is_no_iommufd_is_refused() {
    let vfio = VfioPlan {
        interface: VfioInterface::Iommufd,
        domain: garbage(),
        nodes: vec![garbage()],
        functions: vec![("0000:41:00.0".parse().unwrap(), 0)],
    };
    check(
        |plan| plan.vfio = Some(vfio),
        "use the descriptor given as an iommufd",
    )
    .await;
}

#[tokio::test]
async fn more_functions_than_a_machine_can_have_are_refused_before_anything_starts() {
    let functions = (1_u8..=17).map(|bus| {
        let address = format!("0000:{bus:02x}:00.0");
        (address.parse().unwrap(), bus - 1)
    });
    let vfio = VfioPlan {
        interface: VfioInterface::Iommufd,
        domain: garbage(),
        nodes: (0..17).map(|_| garbage()).collect(),
        functions: functions.collect(),
    };
    check(|plan| plan.vfio = Some(vfio), "17 functions").await;
}

#[tokio::test]
async fn program_that_is_not_there_is_named() {
    check(
        |plan| plan.program = PathBuf::from("/nowhere/vmm"),
        "start the monitor /nowhere/vmm",
    )
    .await;
}

#[tokio::test]
async fn program_that_is_no_monitor_is_reported() {
    check(
        |plan| plan.program = PathBuf::from("/bin/true"),
        "not a monitor",
    )
    .await;
    check(
        |plan| plan.program = PathBuf::from("/bin/false"),
        "ended with status 1",
    )
    .await;
}

#[tokio::test]
async fn launch_that_is_given_up_leaves_nothing() {
    let Some(scene) = Scene::set() else { return };
    let mut plan = scene.plan(guest::WAITS);
    let program = silent(scene.folder());
    plan.program.clone_from(&program);
    let waiting = Monitor::launch(plan);
    let given_up = tokio::time::timeout(Duration::from_millis(300), waiting).await;
    assert!(given_up.is_err());
    soon(async {
        while runs(&program) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    fs::remove_file(program).unwrap();
    assert_eq!(
        fs::read_dir(scene.folder()).unwrap().count(),
        0,
        "sockets are left"
    );
}

/// A program that says nothing for a long time.
fn silent(folder: &Path) -> PathBuf {
    let path = folder.join("silent");
    fs::write(&path, "#!/bin/sh\nsleep 1000\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// Whether any process was started from this script.
fn runs(program: &Path) -> bool {
    let program = program.to_str().unwrap();
    fs::read_dir("/proc").unwrap().any(|process| {
        let command = fs::read_to_string(process.unwrap().path().join("cmdline"));
        command.is_ok_and(|command| command.contains(program))
    })
}

#[tokio::test]
async fn folder_without_a_monitor_can_not_be_attached_to() {
    let Some(scene) = Scene::set() else { return };
    let error = soon(Monitor::attach(scene.folder(), patience()))
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        chain(&error).contains("no monitor listens in"),
        "{}",
        chain(&error)
    );
}
