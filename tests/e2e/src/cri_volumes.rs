//! What containers mount over the Container Runtime Interface, in folders that look like the kubelet's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cri::v1::{ImageSpec, Mount, MountPropagation};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure, log_text};
use crate::mounting::{finish, mount, run, with};
use crate::test_image;

pub(crate) const TESTS: &[Test] = &[
    (
        "files_of_the_kubelet_are_copied_and_last_words_come_back",
        files,
    ),
    (
        "termination_log_comes_back_after_the_daemon_was_killed",
        killed,
    ),
    ("config_map_that_is_swapped_is_followed", swapped),
    ("fifty_files_are_swapped_under_a_watcher", watched),
    ("memory_is_shared_and_limited", memory),
    ("images_are_mounted_read_only", images),
    ("what_cannot_be_mounted_is_refused_by_name", refused),
    ("mount_of_a_container_reaches_its_siblings_alone", siblings),
];

/// The kubelet's folder of a pod.
pub(crate) fn pod_folder(case: &Case) -> Result<PathBuf> {
    let folder = case.folder().join("kubelet/pods/u");
    fs::create_dir_all(folder.join("containers/main")).context("make the kubelet's folders")?;
    Ok(folder)
}

/// Writes one version of a ConfigMap, and switches to it as the kubelet does.
pub(crate) fn write_version(folder: &Path, version: &str, text: &str) -> Result<()> {
    let new = folder.join(version);
    fs::create_dir_all(&new)?;
    for name in ["a", "b"] {
        fs::write(new.join(name), text)?;
        fs::set_permissions(new.join(name), fs::Permissions::from_mode(0o440))?;
        chown(new.join(name), Some(0), Some(2000))?;
    }
    let old = fs::read_link(folder.join("..data")).ok();
    symlink(version, folder.join("..data_tmp"))?;
    fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
    for name in ["a", "b"] {
        if !folder.join(name).is_symlink() {
            symlink(format!("..data/{name}"), folder.join(name))?;
        }
    }
    match old {
        Some(old) => Ok(fs::remove_dir_all(folder.join(old))?),
        None => Ok(()),
    }
}

fn files(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let pod = pod_folder(case)?;
    let (hosts, log) = (pod.join("etc-hosts"), pod.join("containers/main/1a"));
    fs::write(&hosts, "10.9.8.7 of-the-kubelet\n")?;
    fs::write(&log, "")?;
    let read_only = Mount {
        readonly: true,
        ..mount("/ro/hosts", &hosts)
    };
    let mounts = vec![
        mount("/etc/hosts", &hosts),
        mount("/dev/termination-log", &log),
        read_only,
    ];
    let script = "cat /etc/hosts; echo x >>/ro/hosts || echo no; echo last words >/dev/termination-log; exit 5";
    let config = with(&daemon, "main", script, mounts.clone());
    let id = run(&daemon, &sandbox, config)?;
    let status = daemon.ended(&id)?;
    ensure!(fs::read_to_string(&log)? == "last words\n", "at EXITED");
    ensure!(
        status.exit_code == 5 && status.mounts == mounts,
        "{status:?}"
    );
    let said = log_text(&daemon.logs().join("main.log"), "stdout")?;
    ensure!(said == b"10.9.8.7 of-the-kubelet\nno\n", "{said:?}");
    ensure!(fs::read_to_string(&hosts)? == "10.9.8.7 of-the-kubelet\n");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn killed(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let pod = pod_folder(case)?;
    let log = pod.join("containers/main/2b");
    fs::write(&log, "")?;
    let map = pod.join("volumes/kubernetes.io~configmap/map");
    fs::create_dir_all(&map)?;
    write_version(&map, "..1", "one")?;
    let mounts = vec![mount("/dev/termination-log", &log), mount("/map", &map)];
    let script = "until [ $(cat /map/a) = two ]; do sleep 0.1; done; echo $(cat /map/b) >/dev/termination-log";
    let id = run(&daemon, &sandbox, with(&daemon, "main", script, mounts))?;
    daemon.kill()?;
    // Nobody listens: the next daemon has to look.
    write_version(&map, "..2", "two")?;
    daemon.resume()?;
    let status = daemon.ended(&id)?;
    ensure!(status.exit_code == 0, "{status:?}");
    ensure!(fs::read_to_string(&log)? == "two\n");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn swapped(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let map = pod_folder(case)?.join("volumes/kubernetes.io~secret/s");
    fs::create_dir_all(&map)?;
    write_version(&map, "..0", "0")?;
    let read_only = Mount {
        readonly: true,
        ..mount("/map", &map)
    };
    let script = "stat -c '%a %u %g' /map/..data/a; cd /map; until [ \"$now\" = last ]; do now=$(cat a) && [ -n \"$now\" ] || { echo torn; exit 1; }; done; \
                  ls -A . | grep -c '^\\.\\.'; cat b";
    let config = with(&daemon, "main", script, vec![read_only]);
    let id = run(&daemon, &sandbox, config)?;
    for number in 1..30 {
        write_version(&map, &format!("..{number}"), &number.to_string())?;
    }
    write_version(&map, "..last", "last")?;
    let status = daemon.ended(&id)?;
    let said = String::from_utf8(log_text(&daemon.logs().join("main.log"), "stdout")?)?;
    ensure!(status.exit_code == 0, "{said:?}: {status:?}");
    ensure!(said.starts_with("440 0 2000\n"), "{said:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn watched(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let map = pod_folder(case)?.join("volumes/kubernetes.io~configmap/large");
    fs::create_dir_all(&map)?;
    let write = |version: &str| {
        let new = map.join(format!("..{version}"));
        fs::create_dir(&new)?;
        for number in 0..50 {
            fs::write(new.join(format!("f{number}")), version.repeat(25_600))?;
        }
        let old = fs::read_link(map.join("..data")).ok();
        symlink(format!("..{version}"), map.join("..data_tmp"))?;
        fs::rename(map.join("..data_tmp"), map.join("..data"))?;
        for number in (0..50).filter(|_| old.is_none()) {
            symlink(format!("..data/f{number}"), map.join(format!("f{number}")))?;
        }
        old.map_or(Ok(()), |old| fs::remove_dir_all(map.join(old)))
    };
    write("v000")?;
    let suite = Mount {
        readonly: true,
        ..mount("/suite", &case.dist().join("storage-suite"))
    };
    let mounts = vec![suite, mount("/map", &map)];
    let script = "/suite follow /map last 2>&1 && ls -A /map | grep -c '^\\.\\.'";
    let config = with(&daemon, "main", script, mounts);
    let id = run(&daemon, &sandbox, config)?;
    for number in 1..100 {
        write(&format!("v{number:03}"))?;
    }
    write("last")?;
    let status = daemon.ended(&id)?;
    let said = String::from_utf8(log_text(&daemon.logs().join("main.log"), "stdout")?)?;
    let expect = "50 files, 5120000 bytes\n2\n";
    ensure!(
        status.exit_code == 0 && said == expect,
        "{said:?}: {status:?}"
    );
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn memory(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let folder = pod_folder(case)?.join("volumes/kubernetes.io~empty-dir/m");
    fs::create_dir_all(&folder)?;
    let tmpfs = ["-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs"];
    let mounted = Command::new("mount").args(tmpfs).arg(&folder).status()?;
    ensure!(mounted.success(), "mount a tmpfs");
    let said = write_and_read(&daemon, &sandbox, &folder);
    let unmounted = Command::new("umount").arg(&folder).status()?;
    ensure!(unmounted.success(), "unmount the tmpfs");
    let (first, second) = said?;
    ensure!(first == (0, "1777\nfull\n".to_owned()), "{first:?}");
    ensure!(second == (0, "from the first\n".to_owned()), "{second:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

type Said = (i32, String);

fn write_and_read(daemon: &Daemon<'_>, sandbox: &str, folder: &Path) -> Result<(Said, Said)> {
    let mounts = vec![mount("/m", folder)];
    let script = "stat -c %a /m; echo from the first >/m/f; dd if=/dev/zero of=/m/g bs=65536 count=64 2>/dev/null || echo full";
    let first = finish(daemon, sandbox, with(daemon, "one", script, mounts.clone()))?;
    let second = finish(daemon, sandbox, with(daemon, "two", "cat /m/f", mounts))?;
    Ok((first, second))
}

fn images(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let image = |sub_path: &str| Mount {
        container_path: "/image".to_owned(),
        image: Some(ImageSpec {
            image: test_image::NAME.to_owned(),
            ..ImageSpec::default()
        }),
        image_sub_path: sub_path.to_owned(),
        readonly: true,
        ..Mount::default()
    };
    let script = "cat /image/hello; echo x >/image/hello || echo no";
    let said = finish(
        &daemon,
        &sandbox,
        with(&daemon, "all", script, vec![image("")]),
    )?;
    ensure!(
        said == (0, "from the upper layer\nno\n".to_owned()),
        "{said:?}"
    );
    let script = "test -x /image/sh";
    let config = with(&daemon, "part", script, vec![image("bin")]);
    let said = finish(&daemon, &sandbox, config)?;
    ensure!(said.0 == 0, "{said:?}");
    let config = with(&daemon, "missing", "true", vec![image("not/there")]);
    let id = daemon.create(&sandbox, config)?;
    let started = daemon.start_container(&id);
    expect_failure(started, Code::FailedPrecondition, "not/there")?;
    for id in daemon.containers()? {
        daemon.remove(&id)?;
    }
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn refused(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let socket = case.folder().join("a.sock");
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&socket)?;
    let check = |mount: Mount, code: Code, words: &str| {
        let config = with(&daemon, "main", "true", vec![mount]);
        expect_failure(daemon.create(&sandbox, config), code, words)
    };
    check(mount("/s", &socket), Code::Unimplemented, "SOCK_STREAM")?;
    let pipe = case.folder().join("pipe");
    ensure!(
        Command::new("mkfifo").arg(&pipe).status()?.success(),
        "mkfifo"
    );
    check(mount("/p", &pipe), Code::Unimplemented, "a named pipe")?;
    let null = mount("/n", Path::new("/dev/null"));
    check(null, Code::Unimplemented, "a device of the node")?;
    let pages = case.folder().join("pages");
    fs::create_dir(&pages)?;
    let mounted = Command::new("mount")
        .args(["-t", "hugetlbfs", "kubelet"])
        .arg(&pages)
        .status()?;
    ensure!(mounted.success(), "mount a hugetlbfs");
    let refused = check(
        mount("/p", &pages),
        Code::Unimplemented,
        "huge pages of the node",
    );
    let unmounted = Command::new("umount").arg(&pages).status()?;
    refused?;
    ensure!(unmounted.success(), "unmount the hugetlbfs");
    let both = Mount {
        propagation: 2,
        ..mount("/v", case.folder())
    };
    check(both, Code::Unimplemented, "BIDIRECTIONAL")?;
    let recursive = Mount {
        recursive_read_only: true,
        ..mount("/v", case.folder())
    };
    let followed = Mount {
        readonly: true,
        propagation: 1,
        ..recursive.clone()
    };
    for wrong in [recursive, followed] {
        check(wrong, Code::InvalidArgument, "recursive_read_only needs")?;
    }
    ensure!(daemon.containers()?.is_empty(), "nothing is left");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn siblings(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let mut sandbox = daemon.sandbox_config("web")?;
    let linux = sandbox.linux.get_or_insert_default();
    linux.security_context.get_or_insert_default().privileged = true;
    let sandbox = daemon.run_configured(sandbox, "")?;
    let volumes = pod_folder(case)?.join("volumes/kubernetes.io~empty-dir");
    let (disk, memory) = (volumes.join("disk"), volumes.join("memory"));
    for folder in [&disk, &memory] {
        fs::create_dir_all(folder)?;
    }
    let tmpfs = ["-t", "tmpfs", "-o", "size=1m,mode=1777", "kubelet"];
    let mounted = Command::new("mount").args(tmpfs).arg(&memory).status()?;
    ensure!(mounted.success(), "mount a tmpfs");
    let result = mount_for_siblings(&daemon, &sandbox, (&disk, &memory));
    let unmounted = Command::new("umount").arg(&memory).status()?;
    result.with_context(|| format!("log: {}", daemon.log()))?;
    ensure!(unmounted.success(), "unmount the tmpfs");
    // The guest's mount is the guest's: the node has the folder that it was made on.
    ensure!(fs::read_dir(disk.join("in"))?.next().is_none());
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn mount_for_siblings(
    daemon: &Daemon<'_>,
    sandbox: &str,
    (disk, memory): (&Path, &Path),
) -> Result<()> {
    let both = |propagation: MountPropagation, readonly| {
        let mounts = [("/d", disk), ("/m", memory)];
        mounts.map(|(at, folder)| Mount {
            propagation: propagation.into(),
            readonly,
            ..mount(at, folder)
        })
    };
    let waits =
        "until cat /d/in/file /m/in/file 2>/dev/null; do sleep 0.2; done; echo x >/d/x || echo no";
    let receives = both(MountPropagation::PropagationHostToContainer, true);
    let config = with(daemon, "follows", waits, receives.to_vec());
    let log = daemon.logs().join(&config.log_path);
    let follows = run(daemon, sandbox, config)?;
    let script = "for v in /d /m; do mkdir $v/in && mount -t tmpfs tmpfs $v/in && echo $v >$v/in/.file && mv $v/in/.file $v/in/file || exit 1; done";
    let shares = both(MountPropagation::PropagationBidirectional, false);
    let mut config = with(daemon, "mounts", script, shares.to_vec());
    let linux = config.linux.get_or_insert_default();
    linux.security_context.get_or_insert_default().privileged = true;
    let said = finish(daemon, sandbox, config)?;
    ensure!(said.0 == 0, "{said:?}");
    let status = daemon.ended(&follows)?;
    let text = String::from_utf8(log_text(&log, "stdout")?)?;
    // It may have looked between the two mounts.
    ensure!(text.ends_with("/d\n/m\nno\n"), "{text:?} {status:?}");
    Ok(())
}
