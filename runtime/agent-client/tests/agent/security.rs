//! Who a container's process is and what it may do, as Kubernetes asks for it.

use std::fs;

use agent_client::{AgentError, ProcessEnd, Root, Stdio};
use serde_json::{Value, json};

use crate::host::{DEADLINE, Finished, Host, Wanted, process, shell};

const OK: ProcessEnd = ProcessEnd::Exited(0);

/// Where a user of the image is in groups.
const GROUP: &str = "staff:x:50:user\nusers:x:51:\n";

async fn host() -> Option<Host> {
    let host = Host::start().await?;
    let Root::Directory { path } = host.root() else {
        panic!("a root that is no directory");
    };
    fs::write(format!("{path}/etc/group"), GROUP).unwrap();
    Some(host)
}

async fn run(wanted: Wanted) -> Option<Finished> {
    let host = host().await?;
    let finished = host.run(wanted).await;
    host.stop().await;
    Some(finished)
}

async fn check(wanted: Wanted, stdout: &str) {
    if let Some(finished) = run(wanted).await {
        assert_eq!(finished.stdout, stdout, "{}", finished.stderr);
        assert_eq!(finished.end, OK);
    }
}

const WHO: &str = "id -u; id -g; grep Groups: /proc/self/status | cut -f2";

#[tokio::test]
async fn groups_follow_the_policy() {
    let wanted = |policy: Option<&str>, username: &str| {
        let mut wanted = shell(WHO);
        wanted.spec["process"]["user"] = json!({"username": username, "additionalGids": [60]});
        if let Some(policy) = policy {
            wanted.spec["annotations"] = json!({"cofferdam.agent.groups": policy});
        }
        wanted
    };
    check(wanted(None, "user"), "7\n8\n50 60 \n").await;
    check(wanted(Some("merge"), "user"), "7\n8\n8 50 60 \n").await;
    check(wanted(Some("strict"), "user"), "7\n8\n8 60 \n").await;
    check(wanted(Some("merge"), "7:9"), "7\n9\n9 50 60 \n").await;
    check(wanted(Some("strict"), "4711"), "4711\n0\n0 60 \n").await;
    check(wanted(Some("merge"), "4711:users"), "4711\n51\n51 60 \n").await;
}

#[tokio::test]
async fn exec_is_who_the_container_was_at_its_start() {
    let Some(host) = host().await else {
        return;
    };
    let mut wanted = shell("sleep 1000");
    wanted.spec["process"]["user"] = json!({"username": "user"});
    wanted.spec["annotations"] = json!({"cofferdam.agent.groups": "merge"});
    let told = host.first_process("c", wanted).await.unwrap().user.unwrap();
    assert_eq!((told.uid, told.gid, told.groups), (7, 8, vec![8, 50]));
    let exec = async |name: &str, user: Value, script: &str| {
        let mut process = process(&["sh", "-c", script]);
        process["user"] = user;
        let stdio = Stdio::default();
        host.exec("c", name, process, stdio).await.unwrap();
        host.finish("c", name).await.stdout
    };
    let script = "echo user:x:0:0::/: >/etc/passwd; echo staff:x:0:user >/etc/group; id -u";
    assert_eq!(
        exec("root", json!({"uid": 0, "gid": 0}), script).await,
        "0\n"
    );
    let same = json!({"username": "user"});
    assert_eq!(exec("same", same, WHO).await, "7\n8\n8 50 \n");
    let other = json!({"username": "user:9"});
    assert_eq!(
        exec("other", other, WHO).await,
        "0\n9\n9 0 \n".replace("9 0 ", "0 9 ")
    );
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn masked_file_and_folder_show_nothing() {
    let mut wanted = shell(
        "cat /etc/plain; ls -A /masked; touch /masked/x 2>/dev/null || echo no; ls /not 2>/dev/null; echo end",
    );
    wanted.spec["linux"]["maskedPaths"] = json!(["/etc/plain", "/masked", "/not/there"]);
    check(wanted, "no\nend\n").await;
}

#[tokio::test]
async fn read_only_paths_hold_with_what_is_mounted_below_and_keep_their_programs() {
    let script = "for f in /locked/x /locked/deep/x /bin/x; do touch $f 2>/dev/null || echo no; done; touch /tmp/x; /bin/echo runs";
    let mut wanted = shell(script);
    let deep = json!({"destination": "/locked/deep", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]});
    wanted.spec["mounts"].as_array_mut().unwrap().push(deep);
    wanted.spec["linux"]["readonlyPaths"] = json!(["/locked", "/bin", "/not/there"]);
    check(wanted, "no\nno\nno\nruns\n").await;
}

#[tokio::test]
async fn ambient_capability_stays_with_a_user() {
    let mut wanted = shell("grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status | tr -d '\\t'");
    let caps = json!(["CAP_NET_BIND_SERVICE"]);
    wanted.spec["process"]["user"] = json!({"uid": 7, "gid": 8});
    wanted.spec["process"]["capabilities"] = json!({
        "bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps});
    let all = "CapPrm:0000000000000400\nCapEff:0000000000000400\nCapAmb:0000000000000400\n";
    check(wanted, all).await;
    let mut wanted = shell("grep CapEff /proc/self/status | tr -d '\\t'");
    wanted.spec["process"]["user"] = json!({"uid": 7, "gid": 8});
    check(wanted, "CapEff:0000000000000000\n").await;
}

/// All capabilities that there are, all devices, /sys writable.
#[tokio::test]
async fn privileged_container_has_what_the_agent_has() {
    let script = "grep CapEff /proc/self/status | cut -f2; grep -q ' /sys sysfs rw' /proc/mounts && echo writable; ls /dev | grep -cE '^(null|kmsg)$'; find /dev -type b | grep -c .";
    let mut wanted = shell(script);
    let every: Vec<String> = EVERY.iter().map(|name| format!("CAP_{name}")).collect();
    wanted.spec["process"]["capabilities"] =
        json!({"bounding": every, "effective": every, "permitted": every});
    wanted.spec["annotations"] = json!({"cofferdam.agent.devices": "all"});
    let sys = json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "nodev", "noexec"]});
    wanted.spec["mounts"].as_array_mut().unwrap().push(sys);
    let Some(finished) = run(wanted).await else {
        return;
    };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ours = status
        .lines()
        .find_map(|line| line.strip_prefix("CapPrm:\t"));
    let kmsg = 1 + usize::from(fs::exists("/dev/kmsg").unwrap());
    let blocks = block_devices("/dev".as_ref());
    let expect = format!("{}\nwritable\n{kmsg}\n{blocks}\n", ours.unwrap());
    assert_eq!(finished.stdout, expect, "{}", finished.stderr);
}

fn block_devices(folder: &std::path::Path) -> usize {
    use std::os::unix::fs::FileTypeExt;
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let count = |entry: fs::DirEntry| match entry.file_type().unwrap() {
        kind if kind.is_block_device() => 1,
        kind if kind.is_dir() => block_devices(&entry.path()),
        _ => 0,
    };
    entries.map(count).sum()
}

/// linux/capability.h
const EVERY: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// In a guest the agent may do everything; as a process of a host it may lack what lowering takes.
#[tokio::test]
async fn oom_score_is_lowered_or_the_missing_capability_is_named() {
    let Some(host) = host().await else {
        return;
    };
    let current = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let lower = current.trim().parse::<i32>().unwrap().max(-999) - 1;
    let mut wanted = shell("cat /proc/self/oom_score_adj");
    wanted.spec["process"]["oomScoreAdj"] = json!(lower);
    match host.create("one", wanted).await {
        Ok(_) => assert_eq!(host.finish("one", "").await.stdout, format!("{lower}\n")),
        Err(AgentError::Precondition { message }) => {
            assert!(message.contains("lacks CAP_SYS_RESOURCE"), "{message}");
            assert!(message.contains(&lower.to_string()), "{message}");
        }
        Err(error) => panic!("{error}"),
    }
    host.agent.remove_container("one", DEADLINE).await.unwrap();
    host.assert_nothing_left("one");
    host.stop().await;
}

/// What a specification does not list, the containers of a pod share: with the queues and /dev/shm of CRI's default.
#[tokio::test]
async fn containers_of_a_pod_share_ipc_and_host_name() {
    let Some(host) = host().await else {
        return;
    };
    let name = format!("cofferdam-test-{}", std::process::id());
    let wanted = |script: String| {
        let mut wanted = shell(&script);
        let spec = &mut wanted.spec;
        spec["linux"]["namespaces"] = json!([{"type": "pid"}, {"type": "mount"}]);
        spec.as_object_mut().unwrap().remove("hostname");
        let bind = json!({"destination": "/dev/shm", "type": "bind", "source": "/dev/shm",
            "options": ["bind", "nosuid", "noexec", "nodev"]});
        spec["mounts"].as_array_mut().unwrap().push(bind);
        wanted
    };
    let script = format!(
        "echo shared >/dev/shm/{name}; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts"
    );
    let first = host.run(wanted(script)).await;
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let expect = format!("{}\n{}\n", own("ipc").display(), own("uts").display());
    assert_eq!(first.stdout, expect, "{}", first.stderr);
    let script = format!("cat /dev/shm/{name}; rm /dev/shm/{name}");
    let second = host.run(wanted(script)).await;
    assert_eq!(second.stdout, "shared\n", "{}", second.stderr);
    host.stop().await;
}

#[tokio::test]
async fn apparmor_policy_is_not_loaded_into_a_hosts_kernel() {
    let Some(host) = Host::start().await else {
        return;
    };
    let loaded = host.agent.load_apparmor_policy(vec![1], DEADLINE).await;
    let error = loaded.unwrap_err();
    assert!(matches!(error, AgentError::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains("a guest only"), "{error}");
    host.stop().await;
}
