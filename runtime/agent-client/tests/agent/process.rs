//! What a container's process is and may do, and how it ends.

use agent_client::{AgentError, PodStart, ProcessEnd, ProcessRef, Stdio};
use serde_json::{Value, json};

use crate::host::{DEADLINE, Host, Wanted, command, process, shell};

async fn check(wanted: Wanted, stdout: &str, end: ProcessEnd) {
    let Some(host) = Host::start().await else {
        return;
    };
    let finished = host.run(wanted).await;
    assert_eq!(
        (finished.stdout.as_str(), finished.end),
        (stdout, end),
        "{}",
        finished.stderr
    );
    host.stop().await;
}

const OK: ProcessEnd = ProcessEnd::Exited(0);

#[tokio::test]
async fn exit_code_and_signal_come_back() {
    check(shell("exit 3"), "", ProcessEnd::Exited(3)).await;
    // The first process of a PID namespace is safe from its own signals, so a child dies.
    check(shell("sh -c 'kill -9 $$'; echo $?"), "137\n", OK).await;
}

#[tokio::test]
async fn container_has_namespaces_of_its_own() {
    // The shell looks at /proc itself: the programs of a pipe are there or not yet.
    let script = "echo $$; hostname; grep -c : /proc/net/dev; set -- /proc/[0-9]*; echo $*";
    check(shell(script), "1\ninside\n1\n/proc/1\n", OK).await;
}

#[tokio::test]
async fn environment_and_folder_are_as_said() {
    let mut wanted = shell("echo $GREETING $HOME $PATH; pwd");
    wanted.spec["process"]["cwd"] = json!("/tmp");
    check(wanted, "hello /root-home /usr/bin:/bin\n/tmp\n", OK).await;
}

#[tokio::test]
async fn user_groups_and_mask_are_as_said() {
    let mut wanted =
        shell("id -u; id -g; id -G; umask; echo $HOME; grep -c . /masked/secret; touch /x");
    wanted.spec["process"]["user"] =
        json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27});
    check(
        wanted,
        "7\n8\n8 9 10\n0027\n/user-home\n",
        ProcessEnd::Exited(1),
    )
    .await;
}

#[tokio::test]
async fn capabilities_are_exactly_those_named() {
    // CAP_KILL is bit 5, CAP_NET_BIND_SERVICE bit 10.
    let script =
        "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Groups' /proc/self/status | tr -d '\\t'";
    let expect = "Groups: \nCapInh:0000000000000000\nCapPrm:0000000000000420\nCapEff:0000000000000420\n\
        CapBnd:0000000000000420\nCapAmb:0000000000000000\nNoNewPrivs:1\n";
    check(shell(script), expect, OK).await;
    let mut wanted = shell("grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status | tr -d '\\t'");
    wanted.spec["process"]["capabilities"] = Value::Null;
    wanted.spec["process"]["noNewPrivileges"] = json!(false);
    let expect = "CapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:0\n";
    check(wanted, expect, OK).await;
}

fn without_mkdir() -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]})
}

#[tokio::test]
async fn seccomp_filter_is_on_with_and_without_new_privileges() {
    for no_new_privileges in [true, false] {
        let mut wanted =
            shell("mkdir /tmp/a 2>/dev/null || echo denied; grep Seccomp: /proc/self/status");
        wanted.spec["linux"]["seccomp"] = without_mkdir();
        wanted.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        check(wanted, "denied\nSeccomp:\t2\n", OK).await;
    }
}

/// A filter that allows little more than a start. libcontainer's own order would need `accept4` and more in it.
#[tokio::test]
async fn strict_seccomp_filter_does_not_hinder_the_start() {
    let mut wanted = command(&["/bin/true"]);
    let names = [
        "execve",
        "brk",
        "mmap",
        "munmap",
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlinkat",
        "readlink",
        "getrandom",
        "mprotect",
        "exit_group",
        "exit",
        "write",
        "uname",
        "newfstatat",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "prctl",
    ];
    wanted.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_KILL_PROCESS",
        "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]});
    check(wanted, "", OK).await;
}

#[tokio::test]
async fn rlimits_and_oom_score_are_as_said() {
    let mut wanted = shell("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj");
    wanted.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]);
    wanted.spec["process"]["oomScoreAdj"] = json!(555);
    check(wanted, "77\n99\n555\n", OK).await;
}

#[tokio::test]
async fn signals_are_at_their_defaults() {
    check(
        shell("grep -E 'Sig(Ign|Blk)' /proc/self/status | tr -d '\\t'"),
        "SigBlk:0000000000000000\nSigIgn:0000000000000000\n",
        OK,
    )
    .await;
}

#[tokio::test]
async fn masked_and_read_only_paths_and_sysctls_hold() {
    let mut wanted = shell(
        "ls /masked; cat /proc/sys/net/ipv4/ip_forward; echo 0 2>/dev/null >/proc/sys/net/ipv4/ip_forward || echo read-only",
    );
    wanted.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    check(wanted, "1\nread-only\n", OK).await;
}

#[tokio::test]
async fn root_without_a_writable_layer_is_read_only_and_the_image_stays() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("touch /new 2>/dev/null || echo read-only");
    wanted.writable_bytes = 0;
    assert_eq!(host.run(wanted).await.stdout, "read-only\n");
    let wanted = shell("echo x >/new; rm /etc/plain; cat /new; ls /etc");
    assert_eq!(host.run(wanted).await.stdout, "x\npasswd\n");
    assert_eq!(
        host.run(shell("ls /etc /new 2>/dev/null")).await.stdout,
        "/etc:\npasswd\nplain\n"
    );
    let wanted = shell("dd if=/dev/zero of=/big bs=64k count=64 2>/dev/null; stat -c %s /big");
    let size: u64 = host.run(wanted).await.stdout.trim().parse().unwrap();
    assert!(size <= 1 << 20, "{size}");
    host.stop().await;
}

#[tokio::test]
async fn command_that_cannot_run_is_reported_at_once_and_leaves_nothing() {
    let Some(host) = Host::start().await else {
        return;
    };
    let cases = [
        ("/bin/foo", true, "no such file or directory: /bin/foo"),
        ("foo", true, "no such file or directory: foo"),
        ("/etc/plain", false, "permission denied: /etc/plain"),
        ("/etc", false, "permission denied: /etc"),
        ("/bin/no-format", false, "exec format error: /bin/no-format"),
        (
            "no-interpreter",
            true,
            "no such file or directory: the interpreter of /bin/no-interpreter",
        ),
    ];
    let check = |error: AgentError, missing: bool, expect: &str| match (error, missing) {
        (AgentError::NotFound { message }, true) => assert_eq!(message, expect),
        (AgentError::Precondition { message }, false) => assert_eq!(message, expect),
        (error, _) => panic!("{error:?} for {expect}"),
    };
    for (path, missing, expect) in cases {
        check(
            host.create("c", command(&[path])).await.unwrap_err(),
            missing,
            expect,
        );
        host.assert_nothing_left("c");
    }
    host.create("c", shell("sleep 1000")).await.unwrap();
    for (path, missing, expect) in cases {
        let error = host
            .exec("c", "e", process(&[path]), Stdio::default())
            .await
            .unwrap_err();
        check(error, missing, expect);
    }
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.assert_nothing_left("c");
    host.stop().await;
}

#[tokio::test]
async fn start_that_fails_later_leaves_nothing() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("true");
    wanted.spec["process"]["cwd"] = json!("/etc/passwd");
    let error = host.create("c", wanted).await.unwrap_err().to_string();
    assert!(error.contains("working directory /etc/passwd"), "{error}");
    host.assert_nothing_left("c");
    let mut wanted = shell("true");
    wanted.spec["process"]["user"]["username"] = json!("nobody-knows");
    let error = host.create("c", wanted).await.unwrap_err().to_string();
    assert!(error.contains("nobody-knows"), "{error}");
    host.assert_nothing_left("c");
    let mut wanted = shell("true");
    wanted.spec["linux"]["resources"] = json!({"unified": {"nothing.max": "1"}});
    let error = host.create("c", wanted).await.unwrap_err().to_string();
    assert!(error.contains("nothing.max"), "{error}");
    host.assert_nothing_left("c");
    host.stop().await;
}

#[tokio::test]
async fn exec_runs_in_the_container_under_its_filter() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell("sleep 1000");
    wanted.spec["linux"]["seccomp"] = without_mkdir();
    host.create("c", wanted).await.unwrap();
    for no_new_privileges in [true, false] {
        let script = "hostname; mkdir /tmp/a 2>/dev/null || echo denied; grep -E 'CapBnd|Seccomp:' /proc/self/status | tr -d '\\t'; exit 5";
        let mut process = process(&["sh", "-c", script]);
        process["noNewPrivileges"] = json!(no_new_privileges);
        let exec = format!("e{no_new_privileges}");
        host.exec("c", &exec, process, Stdio::default())
            .await
            .unwrap();
        let finished = host.finish("c", &exec).await;
        assert_eq!(
            finished.stdout, "inside\ndenied\nCapBnd:0000000000000420\nSeccomp:2\n",
            "{}",
            finished.stderr
        );
        assert_eq!(finished.end, ProcessEnd::Exited(5));
    }
    let taken = host
        .exec("c", "etrue", process(&["true"]), Stdio::default())
        .await;
    assert!(
        matches!(taken, Err(AgentError::AlreadyExists { .. })),
        "{taken:?}"
    );
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.assert_nothing_left("c");
    host.stop().await;
}

#[tokio::test]
async fn signals_reach_one_process_or_all() {
    let Some(host) = Host::start().await else {
        return;
    };
    let first = ProcessRef {
        container_id: "c".into(),
        exec_id: String::new(),
    };
    let exec = ProcessRef {
        exec_id: "e".into(),
        ..first.clone()
    };
    host.create(
        "c",
        shell("trap 'exit 9' USR1; while :; do sleep 0.05; done"),
    )
    .await
    .unwrap();
    host.exec("c", "e", process(&["sleep", "1000"]), Stdio::default())
        .await
        .unwrap();
    host.agent
        .signal_process(&exec, 15, DEADLINE)
        .await
        .unwrap();
    assert_eq!(host.end_of(&exec).await, (ProcessEnd::Signaled(15), false));
    let gone = host.agent.signal_process(&exec, 15, DEADLINE).await;
    assert!(matches!(gone, Err(AgentError::NotFound { .. })), "{gone:?}");
    host.agent
        .signal_container("c", 10, DEADLINE)
        .await
        .unwrap();
    assert_eq!(host.end_of(&first).await, (ProcessEnd::Exited(9), false));
    let bad = host.agent.signal_process(&first, 65, DEADLINE).await;
    assert!(matches!(bad, Err(AgentError::Invalid { .. })), "{bad:?}");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

/// What CRI's ExecSync does at its timeout.
#[tokio::test]
async fn whole_tree_of_an_exec_is_killed_and_nothing_else() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create("c", shell("sleep 1000")).await.unwrap();
    let exec = |exec_id: &str| ProcessRef {
        container_id: "c".into(),
        exec_id: exec_id.into(),
    };
    let counts = async |name: &str| {
        let list = process(&["sh", "-c", "ps | grep -c '[s]leep 47'"]);
        host.exec("c", name, list, Stdio::default()).await.unwrap();
        host.finish("c", name).await.stdout
    };
    // One child has a session of its own and lost its parent.
    let script = "(setsid sleep 4711 &); sleep 4712 & sleep 4713";
    let tree = process(&["sh", "-c", script]);
    host.exec("c", "tree", tree, Stdio::default())
        .await
        .unwrap();
    let left = process(&["sh", "-c", "sleep 4714 & echo out"]);
    host.exec("c", "left", left, Stdio::default())
        .await
        .unwrap();
    // It is told at its own end, though its output is held open.
    assert_eq!(
        host.end_of(&exec("left")).await,
        (ProcessEnd::Exited(0), false)
    );
    host.agent
        .signal_exec(&exec("tree"), 9, DEADLINE)
        .await
        .unwrap();
    assert_eq!(host.end_of(&exec("tree")).await.0, ProcessEnd::Signaled(9));
    assert_eq!(host.finish("c", "tree").await.stdout, "");
    assert_eq!(counts("one").await, "1\n");
    host.agent
        .signal_exec(&exec("left"), 15, DEADLINE)
        .await
        .unwrap();
    assert_eq!(host.finish("c", "left").await.stdout, "out\n");
    assert_eq!(counts("two").await, "0\n");
    let nobody = host.agent.signal_exec(&exec("nobody"), 9, DEADLINE).await;
    assert!(
        matches!(nobody, Err(AgentError::NotFound { .. })),
        "{nobody:?}"
    );
    let none = host.exec("c", "none", process(&["/none"]), Stdio::default());
    let none = none.await;
    assert!(matches!(none, Err(AgentError::NotFound { .. })), "{none:?}");
    // An exec that has left nothing, or never was, has no cgroup.
    let cgroups = host.exec_cgroups("c");
    let has = |name: &str| cgroups.iter().any(|cgroup| cgroup == name);
    assert!(
        has("cofferdam-exec-left") && !has("cofferdam-exec-one"),
        "{cgroups:?}"
    );
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.assert_nothing_left("c");
    host.stop().await;
}

/// What a daemon does with the commands of the one before it.
#[tokio::test]
async fn execs_that_run_are_ended_and_what_others_left_is_not() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create("c", shell("sleep 1000")).await.unwrap();
    let exec = |exec_id: &str| ProcessRef {
        container_id: "c".into(),
        exec_id: exec_id.into(),
    };
    let start = async |name: &str, script: &str| {
        let process = process(&["sh", "-c", script]);
        host.exec("c", name, process, Stdio::default())
            .await
            .unwrap();
    };
    start("left", "sleep 4801 & echo out").await;
    assert_eq!(host.end_of(&exec("left")).await.0, ProcessEnd::Exited(0));
    start("one", "sleep 4802 & sleep 4803").await;
    start("two", "(setsid sleep 4804 &); sleep 4805").await;
    host.agent.end_execs("c", DEADLINE).await.unwrap();
    for name in ["one", "two"] {
        assert_eq!(host.end_of(&exec(name)).await.0, ProcessEnd::Signaled(9));
        assert_eq!(host.finish("c", name).await.stdout, "");
    }
    start("list", "ps | grep '[s]leep [14]'").await;
    let list = host.finish("c", "list").await.stdout;
    let has = |seconds: &str| list.contains(&format!("sleep {seconds}"));
    assert!(has("1000") && has("4801"), "{list}");
    assert!(
        !["4802", "4803", "4804", "4805"].into_iter().any(has),
        "{list}"
    );
    host.agent.end_execs("c", DEADLINE).await.unwrap();
    let nobody = host.agent.end_execs("nobody", DEADLINE).await;
    assert!(
        matches!(nobody, Err(AgentError::NotFound { .. })),
        "{nobody:?}"
    );
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn ids_are_taken_until_removed_and_checked() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create("c", shell("sleep 1000")).await.unwrap();
    let taken = host.create("c", shell("true")).await;
    assert!(
        matches!(taken, Err(AgentError::AlreadyExists { .. })),
        "{taken:?}"
    );
    let bad = host.create("../c", shell("true")).await;
    assert!(matches!(bad, Err(AgentError::Invalid { .. })), "{bad:?}");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    assert_eq!(host.run(shell("echo again")).await.stdout, "again\n");
    host.stop().await;
}

#[tokio::test]
async fn pod_is_made_once_with_its_container() {
    let Some(host) = Host::start().await else {
        return;
    };
    let wanted = shell("sleep 1000");
    let container = agent_client::ContainerStart {
        container_id: "c".into(),
        root: host.root(),
        writable_bytes: 1 << 20,
        oci_spec: serde_json::to_vec(&wanted.spec).unwrap(),
        stdio: wanted.stdio,
        share_pid_namespace: false,
        target_container_id: String::new(),
        ends_with_first_process: false,
        mounts: Vec::new(),
        disks: Vec::new(),
    };
    let mut pod = PodStart {
        pod_id: "p".into(),
        container: Some(container),
        ..PodStart::default()
    };
    pod.network = Some(model::PodNetwork::default());
    let refused = host.agent.start_pod(pod.clone(), DEADLINE).await;
    assert!(
        matches!(refused, Err(AgentError::Precondition { .. })),
        "{refused:?}"
    );
    let network = pod.network.take().unwrap();
    let refused = host.agent.set_network(&network, DEADLINE).await;
    let reason = refused.unwrap_err().to_string();
    assert_eq!(
        reason,
        "this agent runs on a host: its network can't be set"
    );
    let mut broken = pod.clone();
    broken.container.as_mut().unwrap().oci_spec =
        serde_json::to_vec(&command(&["/none"]).spec).unwrap();
    let error = host.agent.start_pod(broken, DEADLINE).await.unwrap_err();
    assert!(matches!(error, AgentError::NotFound { .. }), "{error:?}");
    let pid = host.agent.start_pod(pod.clone(), DEADLINE).await.unwrap();
    assert!(pid.is_some());
    assert_eq!(
        host.agent.start_pod(pod.clone(), DEADLINE).await.unwrap(),
        pid
    );
    pod.pod_id = "other".into();
    let other = host.agent.start_pod(pod, DEADLINE).await;
    assert!(
        matches!(other, Err(AgentError::AlreadyExists { .. })),
        "{other:?}"
    );
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}
