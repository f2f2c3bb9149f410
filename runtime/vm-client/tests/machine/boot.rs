//! The real guest: kernel and image from the folder that COFFERDAM_DIST names, on a KVM that runs stock guests.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use vm_client::{DiskPlan, EndReason, LaunchPlan, Monitor, SegmentPlan};

use crate::stage::{SOON, Scene, chain, gone};

/// A boot takes seconds in the test host.
const BOOT: Duration = Duration::from_secs(120);

fn plan(scene: &Scene) -> Option<(LaunchPlan, File)> {
    let Some(dist) = std::env::var_os("COFFERDAM_DIST").map(PathBuf::from) else {
        eprintln!("SKIPPED: COFFERDAM_DIST does not name the folder of a guest to boot");
        return None;
    };
    let log = tempfile::tempfile().unwrap();
    let mut plan = scene.plan(&[]);
    plan.kernel = File::open(dist.join("vmlinux")).unwrap();
    plan.guest_image = Some(File::open(dist.join("guest.cpio")).unwrap());
    plan.memory_bytes = 256 << 20;
    plan.processors.boot = 2;
    plan.console = Some(log.try_clone().unwrap());
    Some((plan, log))
}

fn text(log: &mut File) -> String {
    let mut bytes = Vec::new();
    log.rewind().unwrap();
    log.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Connects to the agent's port, as often as it takes until it listens.
fn connect(vsock: &Path) -> Option<UnixStream> {
    let deadline = Instant::now() + BOOT;
    while Instant::now() < deadline {
        let mut stream = UnixStream::connect(vsock).ok()?;
        stream.set_read_timeout(Some(BOOT)).unwrap();
        stream.write_all(b"CONNECT 1024\n").unwrap();
        let mut answer = String::new();
        let read = BufReader::new(&stream).read_line(&mut answer);
        if read.is_ok() && answer.starts_with("OK ") {
            return Some(stream);
        }
    }
    None
}

#[tokio::test]
async fn guest_boots_and_its_agent_listens() {
    let Some(scene) = Scene::set() else { return };
    let Some((plan, mut log)) = plan(&scene) else {
        return;
    };
    let launched = Monitor::launch(plan).await;
    let (monitor, running) = launched.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let pid = monitor.pid().unwrap();
    let vsock = monitor.vsock_path();
    let connected = tokio::task::spawn_blocking(move || connect(&vsock))
        .await
        .unwrap();
    let status = monitor.status().await;
    let log = text(&mut log);
    assert!(connected.is_some(), "{status:?}\n{log}");
    eprintln!("{running:?}\n{:?}", status.unwrap());

    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    let segments = vec![SegmentPlan {
        file,
        offset: 0,
        length: 1 << 20,
    }];
    let disk = DiskPlan {
        id: "scratch".parse().unwrap(),
        segments,
        read_only: false,
    };
    let address = monitor.add_disk(disk).await.unwrap();
    monitor.remove_device(address).await.unwrap();
    assert_eq!(monitor.stop(SOON).await.reason, EndReason::Stopped);
    gone(pid).await;
}

#[tokio::test]
async fn guest_without_a_root_panics_and_its_last_words_are_kept() {
    let Some(scene) = Scene::set() else { return };
    let Some((mut plan, _)) = plan(&scene) else {
        return;
    };
    plan.guest_image = None;
    plan.console = None;
    let launched = Monitor::launch(plan).await;
    let (monitor, _) = launched.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let ending = tokio::time::timeout(BOOT, monitor.ended()).await.unwrap();
    assert_eq!(ending.reason, EndReason::GuestPanic, "{ending:?}");
    assert!(
        ending.console_tail.contains("Kernel panic"),
        "{}",
        ending.console_tail
    );
    eprintln!("{}", ending.console_tail);
}
