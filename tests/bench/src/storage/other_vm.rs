//! The same in QEMU's microvm machine with Debian's virtiofsd beside it: our kernel, a guest that is nothing but the program. Main function:
//! [`measure`].

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use guest_image::cpio::{Archive, Kind};
use harness::{lone_guest, speed};
use tokio::time::{Instant, sleep};

use super::{Bench, Sample};
use crate::{
    boot::{self, GUEST_MIB},
    deadlines,
    dist::Dist,
    qemu::{self, Running},
};

/// Where Debian's releases have it: beside QEMU, or as a package of its own.
const PROGRAMS: [&str; 2] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];

/// A sample for each of [`lone_guest::STEPS`]; none where there is no virtiofsd.
pub(super) async fn measure(dist: &Dist, bench: &Bench) -> Result<Vec<Sample>> {
    let Some(program) = PROGRAMS.iter().find(|path| Path::new(path).is_file()) else {
        eprintln!("nothing beside shares and block devices: there is no virtiofsd at {PROGRAMS:?}");
        return Ok(Vec::new());
    };
    let (share, socket) = (bench.path("other-share"), bench.path("virtiofsd.sock"));
    // It tells of every queue.
    let log = File::create(bench.path("virtiofsd.log")).context("make a log")?;
    let mut server = Command::new(program);
    server
        .arg(format!("--socket-path={}", socket.display()))
        .args(["-o", &format!("source={}", share.display())])
        .stdin(Stdio::null())
        .stderr(log);
    let mut server = Running(server.spawn().with_context(|| format!("start {program}"))?);
    wait_for(&socket, &mut server, "virtiofsd").await?;

    let guest_image = guest_image(bench)?;
    let mut command = Command::new(qemu::PROGRAM);
    let (machine, arguments) = (",memory-backend=memory", " -- guest");
    qemu::lean(&mut command, dist, &guest_image, machine, arguments);
    let size = format!("memory-backend-memfd,id=memory,size={GUEST_MIB}M,share=on");
    let drive = format!("id=disk,if=none,format=raw,file={}", bench.device.display());
    let chardev = format!("socket,id=share,path={}", socket.display());
    let device = format!("vhost-user-fs-pci,chardev=share,tag={}", lone_guest::TAG);
    command
        .args(["-object", &size])
        .args(["-chardev", &chardev, "-device", &device])
        .args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
    let mut vm = Running(command.spawn().context("start QEMU")?);

    let mut samples = Vec::new();
    for step in lone_guest::STEPS {
        wait_for(&lone_guest::ready(&share, step), &mut vm, "QEMU").await?;
        let before = boot::exits()?;
        fs::write(lone_guest::go(&share, step), b"").context("let the guest begin")?;
        let result = lone_guest::result(&share, step);
        wait_for(&result, &mut vm, "QEMU").await?;
        let kvm_exits = boot::exits()?.saturating_sub(before);
        let figures = speed::parse(File::open(result)?).context(step)?;
        samples.push(Sample { figures, kvm_exits });
    }
    Ok(samples)
}

async fn wait_for(path: &Path, program: &mut Running, name: &str) -> Result<()> {
    let until = Instant::now() + deadlines::BOOT;
    while !path.exists() {
        if let Some(status) = program.0.try_wait()? {
            bail!("{name} ended by itself: {status}");
        }
        if Instant::now() > until {
            bail!("no {} in {} s", path.display(), deadlines::BOOT.as_secs());
        }
        sleep(deadlines::LOOK).await;
    }
    Ok(())
}

/// What Linux needs to start the program, and the program.
fn guest_image(bench: &Bench) -> Result<PathBuf> {
    let path = bench.path("guest.cpio");
    let mut program = File::open(&bench.program).context("open the program")?;
    let size = program.metadata()?.len();
    let mut archive = Archive::new(File::create(&path).context("make a guest image")?);
    archive.directory("dev", 0o755)?;
    archive.directory("share", 0o755)?;
    for (name, minor) in [("dev/console", 1), ("dev/null", 3)] {
        let major = if minor == 1 { 5 } else { 1 };
        archive.node(name, 0o600, Kind::CharacterDevice { major, minor })?;
    }
    archive.file("init", 0o755, size, &mut program)?;
    archive.finish()?;
    Ok(path)
}
