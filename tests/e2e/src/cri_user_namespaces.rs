//! Pods with a user namespace (`hostUsers: false`) over the Container Runtime Interface: who their containers are in the guest, and whose
//! their files are, inside and on the node.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ContainerConfig, IdMapping, ImageSpec, LinuxContainerConfig, LinuxContainerSecurityContext,
    LinuxPodSandboxConfig, Mount, NamespaceMode, NamespaceOption, PodSandboxConfig,
    RunPodSandboxRequest, StatusRequest, UserNamespace,
};
use tonic::{Code, Status};

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
use crate::mounting::{finish, mount, with};
use crate::test_image;

pub(crate) const TESTS: &[Test] = &[
    ("container_is_root_of_its_image_alone", inside),
    ("volumes_are_mapped_and_the_node_sees_root", volumes),
    ("processes_and_execs_share_the_pods_namespaces", together),
    ("what_cannot_be_mapped_is_refused_by_name", refused),
    ("debug_container_is_among_its_targets_processes", target),
];

fn mapping(host_id: u32, length: u32) -> Vec<IdMapping> {
    vec![IdMapping {
        host_id,
        container_id: 0,
        length,
    }]
}

fn good() -> Vec<IdMapping> {
    mapping(200_000, 65_536)
}

fn options(mode: NamespaceMode, uids: Vec<IdMapping>, gids: Vec<IdMapping>) -> NamespaceOption {
    NamespaceOption {
        pid: NamespaceMode::Container.into(),
        userns_options: Some(UserNamespace {
            mode: mode.into(),
            uids,
            gids,
        }),
        ..NamespaceOption::default()
    }
}

/// As kubelet asks for a pod with `hostUsers: false`.
fn mapped() -> NamespaceOption {
    options(NamespaceMode::Pod, good(), good())
}

fn sandbox(daemon: &Daemon<'_>, options: NamespaceOption) -> Result<PodSandboxConfig> {
    let mut config = daemon.sandbox_config("web")?;
    let linux = config.linux.get_or_insert_default();
    linux
        .security_context
        .get_or_insert_default()
        .namespace_options = Some(options);
    Ok(config)
}

fn run_sandbox(daemon: &Daemon<'_>, config: PodSandboxConfig) -> Result<String, Status> {
    let request = RunPodSandboxRequest {
        config: Some(config),
        runtime_handler: String::new(),
    };
    let answer = daemon.call(async |mut client| client.run_pod_sandbox(request).await);
    answer.map(|answer| answer.pod_sandbox_id)
}

fn start(daemon: &Daemon<'_>, options: NamespaceOption) -> Result<String> {
    let config = sandbox(daemon, options)?;
    run_sandbox(daemon, config).with_context(|| format!("run the sandbox; log: {}", daemon.log()))
}

fn in_namespaces(mut config: ContainerConfig, options: NamespaceOption) -> ContainerConfig {
    config.linux = Some(LinuxContainerConfig {
        security_context: Some(LinuxContainerSecurityContext {
            namespace_options: Some(options),
            // As kubelet names them.
            masked_paths: ["/proc/kcore", "/sys/firmware"].map(str::to_owned).into(),
            readonly_paths: ["/proc/sys"].map(str::to_owned).into(),
            ..LinuxContainerSecurityContext::default()
        }),
        ..LinuxContainerConfig::default()
    });
    config
}

fn owners_mapped(mount: Mount) -> Mount {
    Mount {
        uid_mappings: good(),
        gid_mappings: good(),
        ..mount
    }
}

const MAP: &str = "tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map";
const MAPPED: &str = " 0 200000 65536\n 0 200000 65536\n";

fn inside(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let status = daemon.call(async |mut client| client.status(StatusRequest::default()).await)?;
    // A pod on the node has none.
    let says = |handler: &cri::v1::RuntimeHandler| {
        let features = handler.features.as_ref();
        features.is_some_and(|features| {
            features.recursive_read_only_mounts
                && features.user_namespaces == (handler.name != "host")
        })
    };
    let handlers = &status.runtime_handlers;
    ensure!(
        handlers.len() >= 2 && handlers.iter().all(says),
        "{status:?}"
    );
    let mut config = sandbox(&daemon, mapped())?;
    config.linux = config.linux.map(|linux| LinuxPodSandboxConfig {
        sysctls: [("kernel.shm_rmid_forced", "1"), ("fs.mqueue.msg_max", "20")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..linux
    });
    let pod = run_sandbox(&daemon, config)
        .with_context(|| format!("run the sandbox; log: {}", daemon.log()))?;
    let told = daemon.sandbox_status(&pod)?.linux;
    let told = told.and_then(|linux| linux.namespaces?.options);
    ensure!(told == Some(mapped()), "it is echoed: {told:?}");
    let script = format!(
        "{MAP}; id -u; stat -c '%u %g' / /hello /bin/busybox /etc/hosts /etc/hostname /dev/shm /dev/mqueue | sort | uniq -c | tr -s ' '; \
         echo more >>/hello && stat -c '%u %s' /hello; cat /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max; \
         hostname; echo x >/dev/null && echo null; echo s >/dev/shm/s && stat -c %u /dev/shm/s; echo q >/dev/mqueue/q; \
         stat -c %u /dev/mqueue/q; cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/vm/swappiness || echo kept; \
         [ -d /sys/class/net/eth0 ] && cat /proc/sys/net/ipv4/ip_unprivileged_port_start; \
         grep -c . /sys/fs/cgroup/cgroup.controllers; echo done >/dev/stdout"
    );
    let config = in_namespaces(daemon.script("main", &script), mapped());
    let said = finish(&daemon, &pod, config)?;
    let expect =
        format!("{MAPPED}0\n 7 0 0\n0 26\n1\n20\nweb\nnull\n0\n0\n0\n0\nkept\n0\n1\ndone\n");
    ensure!(
        said == (0, expect.clone()),
        "{said:?} and not {expect:?}; log: {}",
        daemon.log()
    );
    daemon.remove_sandbox(&pod)?;
    // The guest's own, which is the node's text.
    let pod = start(&daemon, options(NamespaceMode::Node, vec![], vec![]))?;
    let said = finish(
        &daemon,
        &pod,
        daemon.script("node", "cat /proc/self/uid_map"),
    )?;
    let own = fs::read_to_string("/proc/self/uid_map")?;
    ensure!(said == (0, own.clone()), "{said:?} and not {own:?}");
    daemon.remove_sandbox(&pod)?;
    Ok(())
}

/// A ConfigMap as the kubelet has it, for group 2000; and a folder whose files are root's and user 1000's.
fn folders(case: &Case) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let kubelet = case.folder().join("kubelet/pods/u");
    let map = kubelet.join("volumes/kubernetes.io~configmap/map");
    fs::create_dir_all(map.join("..1"))?;
    fs::write(map.join("..1/key"), "value\n")?;
    chown(map.join("..1/key"), Some(0), Some(2000))?;
    fs::set_permissions(map.join("..1/key"), fs::Permissions::from_mode(0o640))?;
    symlink("..1", map.join("..data"))?;
    symlink("..data/key", map.join("key"))?;
    let shared = case.folder().join("shared");
    fs::create_dir(&shared)?;
    for (name, uid) in [("root", 0), ("user", 1000)] {
        fs::write(shared.join(name), "node\n")?;
        chown(shared.join(name), Some(uid), Some(uid))?;
        fs::set_permissions(shared.join(name), fs::Permissions::from_mode(0o600))?;
    }
    let log = kubelet.join("containers/main/1");
    fs::create_dir_all(log.parent().unwrap_or(Path::new("/")))?;
    fs::write(&log, "")?;
    Ok((map, shared, log))
}

fn volumes(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let pod = start(&daemon, mapped())?;
    let (map, shared, log) = folders(case)?;
    let image = Mount {
        container_path: "/image".to_owned(),
        image: Some(ImageSpec {
            image: test_image::NAME.to_owned(),
            ..ImageSpec::default()
        }),
        readonly: true,
        ..Mount::default()
    };
    let mounts = vec![
        owners_mapped(mount("/map", &map)),
        owners_mapped(mount("/shared", &shared)),
        owners_mapped(mount("/dev/termination-log", &log)),
        owners_mapped(image),
        mount("/unmapped", &shared),
    ];
    let script = "stat -L -c '%u %g %a' /map/key /shared/root /shared/user /image/hello /dev/termination-log; cat /map/key /shared/user; \
        echo pod >/shared/new; mkdir /shared/d; chown 1000:1001 /shared/d; echo more >>/shared/root; mv /shared/user /shared/d/; \
        stat -c '%u %a' /shared/new; stat -c '%u' /unmapped/new; cat /unmapped/root || echo no; echo x >/unmapped/x || echo no; \
        echo last >/dev/termination-log";
    let config = in_namespaces(with(&daemon, "main", script, mounts), mapped());
    let said = finish(&daemon, &pod, config)?;
    let expect =
        "0 2000 640\n0 0 600\n1000 1000 600\n0 0 644\n0 0 644\nvalue\nnode\n0 644\n65534\nno\nno\n";
    ensure!(
        said == (0, expect.to_owned()),
        "{said:?} and not {expect:?}; log: {}",
        daemon.log()
    );
    ensure!(fs::read_to_string(&log)? == "last\n", "last words");
    ensure!(fs::read_to_string(shared.join("root"))? == "node\nmore\n");
    // What the container's root makes is root's on the node, as with Kubernetes' idmapped volumes: the volume knows nothing of the range.
    for (name, owner) in [
        ("new", (0, 0)),
        ("d", (1000, 1001)),
        ("d/user", (1000, 1000)),
    ] {
        let about = fs::metadata(shared.join(name))?;
        ensure!((about.uid(), about.gid()) == owner, "{name}: {about:?}");
    }
    daemon.remove_sandbox(&pod)?;
    Ok(())
}

fn together(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sharing = || NamespaceOption {
        pid: NamespaceMode::Pod.into(),
        ..mapped()
    };
    let pod = start(&daemon, sharing())?;
    let run = |name: &str, script: &str| {
        let config = in_namespaces(daemon.script(name, script), sharing());
        crate::mounting::run(&daemon, &pod, config)
    };
    let app = run("app", "echo of the app >/dev/shm/note; sleep 4711; true")?;
    let script = "until [ -s /dev/shm/note ]; do sleep 0.1; done; cat /dev/shm/note; ps | grep -c '[s]leep 4711$'; sleep 1000";
    let second = run("second", script)?;
    let ids = "for one in user ipc uts pid; do readlink /proc/self/ns/$one; done";
    let said = |id: &str, script: &str| -> Result<String> {
        let answer = daemon.exec(id, script, 60)?;
        let errors = String::from_utf8_lossy(&answer.stderr);
        ensure!(answer.exit_code == 0, "{}: {errors}", answer.exit_code);
        Ok(String::from_utf8(answer.stdout)?)
    };
    let (one, two) = (said(&app, ids)?, said(&second, ids)?);
    ensure!(one == two && one.lines().count() == 4, "{one:?}, {two:?}");
    let who = said(
        &second,
        &format!("{MAP}; id -u; stat -c %u /proc/$$ /proc/1; echo out >/dev/stdout"),
    )?;
    ensure!(who == format!("{MAPPED}0\n0\n0\nout\n"), "{who:?}");
    daemon.stop(&app, 0)?;
    ensure!(said(&second, "echo still")? == "still\n", "it lives on");
    daemon.remove_sandbox(&pod)?;
    Ok(())
}

fn refused(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let check = |options: NamespaceOption, code: Code, words: &str| {
        let answer = run_sandbox(&daemon, sandbox(&daemon, options)?);
        expect_failure(answer, code, words)
    };
    let of = |uids, gids| options(NamespaceMode::Pod, uids, gids);
    let two = [mapping(1, 1), mapping(5, 1)].concat();
    let rootless = || {
        let range = good().into_iter();
        let from_one = |one| IdMapping {
            container_id: 1,
            ..one
        };
        range.map(from_one).collect::<Vec<_>>()
    };
    for (asked, words) in [
        (of(two, good()), "exactly one id mapping in uids, not 2"),
        (of(good(), vec![]), "exactly one id mapping in gids, not 0"),
        (of(mapping(1, 0), good()), "the range is empty"),
        (of(rootless(), good()), "it has to begin with 0"),
        (of(good(), rootless()), "it has to begin with 0"),
        (of(good(), mapping(u32::MAX, 2)), "beyond the largest id"),
        (
            options(NamespaceMode::Container, good(), good()),
            "not CONTAINER",
        ),
        (options(NamespaceMode::Target, good(), good()), "not TARGET"),
        (
            options(NamespaceMode::Node, good(), good()),
            "no id mappings",
        ),
    ] {
        check(asked, Code::InvalidArgument, words)?;
    }
    let mut privileged = sandbox(&daemon, mapped())?;
    let linux = privileged.linux.get_or_insert_default();
    linux.security_context.get_or_insert_default().privileged = true;
    let answer = run_sandbox(&daemon, privileged);
    expect_failure(answer, Code::Unimplemented, "hostUsers")?;
    ensure!(daemon.sandboxes()?.is_empty(), "nothing is left");

    let pod = start(&daemon, mapped())?;
    let create = |config: ContainerConfig| daemon.create(&pod, config);
    let plain = || daemon.script("main", "true");
    let other = of(good(), mapping(7, 7));
    let answer = create(in_namespaces(plain(), other));
    expect_failure(answer, Code::InvalidArgument, "gids 0 to 7, 7 of them")?;
    let mut wrong = owners_mapped(mount("/v", case.folder()));
    wrong.gid_mappings = mapping(7, 7);
    let answer = create(with(&daemon, "main", "true", vec![wrong]));
    expect_failure(answer, Code::InvalidArgument, "not those of its sandbox")?;
    let mut far = in_namespaces(plain(), mapped());
    let linux = far.linux.get_or_insert_default();
    linux.security_context.get_or_insert_default().run_as_user =
        Some(cri::v1::Int64Value { value: 70_000 });
    let id = create(far)?;
    let started = daemon.start_container(&id);
    expect_failure(
        started,
        Code::InvalidArgument,
        "the user 70000 is not mapped",
    )?;
    // It harms nobody.
    let said = finish(&daemon, &pod, daemon.script("good", "id -u"))?;
    ensure!(said == (0, "0\n".to_owned()), "{said:?}");
    daemon.remove_sandbox(&pod)?;
    Ok(())
}

fn target(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let targeting = |id: &str, options: NamespaceOption| NamespaceOption {
        pid: NamespaceMode::Target.into(),
        target_id: id.to_owned(),
        ..options
    };
    for (name, options) in [("plain", NamespaceOption::default()), ("mapped", mapped())] {
        let own = NamespaceOption {
            pid: NamespaceMode::Container.into(),
            ..options.clone()
        };
        let pod = start(&daemon, own.clone())?;
        let app = in_namespaces(daemon.script("app", "sleep 4712; true"), own);
        let app = crate::mounting::run(&daemon, &pod, app)?;
        let script = "tr '\\0' ' ' </proc/1/cmdline; echo; ps | grep -c '[s]leep 4712$'; ls /proc/1/root/hello";
        let debug = daemon.script(&format!("debug-{name}"), script);
        let debug = in_namespaces(debug, targeting(&app[..12], options.clone()));
        let said = finish(&daemon, &pod, debug)?;
        let expect = "sh -c sleep 4712; true \n1\n/proc/1/root/hello\n";
        ensure!(said == (0, expect.to_owned()), "{name}: {said:?}");
        let none = in_namespaces(
            daemon.script("none", "true"),
            targeting("f00", options.clone()),
        );
        let answer = daemon.create(&pod, none);
        expect_failure(answer, Code::InvalidArgument, "\"f00\"")?;
        daemon.stop(&app, 0)?;
        let late = in_namespaces(daemon.script("late", "true"), targeting(&app, options));
        let answer = daemon.create(&pod, late);
        expect_failure(answer, Code::FailedPrecondition, "it does not run")?;
        daemon.remove_sandbox(&pod)?;
    }
    Ok(())
}
