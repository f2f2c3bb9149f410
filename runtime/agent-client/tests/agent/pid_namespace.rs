//! A PID namespace that the containers of a pod share, and one that is another container's.

use agent_client::{AgentError, PodStart, ProcessEnd, ProcessRef};

use crate::host::{DEADLINE, Host, Wanted, shell};

fn sharing(script: &str) -> Wanted {
    Wanted {
        share_pid_namespace: true,
        ..shell(script)
    }
}

async fn pod(host: &Host) {
    let pod = PodStart {
        pod_id: "p".into(),
        share_pid_namespace: true,
        ..PodStart::default()
    };
    host.agent.start_pod(pod, DEADLINE).await.unwrap();
}

#[tokio::test]
async fn containers_see_each_other_below_a_first_process_that_reaps() {
    let Some(host) = Host::start().await else {
        return;
    };
    pod(&host).await;
    host.create("other", sharing("sleep 4711; true"))
        .await
        .unwrap();
    // The orphan of the inner shell becomes a child of the first process, which must not leave it a zombie.
    let script = "(true & exec true); cat /proc/1/cmdline | tr '\\0' ' '; echo; \
        ps | grep -c '[s]leep 4711$'; [ $$ != 1 ] && echo not first; \
        while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done; echo none";
    let finished = host.run(sharing(script)).await;
    let expect = "pause-init \n1\nnot first\nnone\n";
    assert!(finished.stdout.ends_with(expect), "{finished:?}");
    // One of its own stays one of its own.
    assert_eq!(host.run(shell("echo $$")).await.stdout, "1\n");
    host.agent
        .remove_container("other", DEADLINE)
        .await
        .unwrap();
    host.stop().await;
}

#[tokio::test]
async fn end_of_the_first_process_ends_the_container_and_no_other() {
    let Some(host) = Host::start().await else {
        return;
    };
    pod(&host).await;
    host.create("other", sharing("sleep 1000")).await.unwrap();
    // Its output would not end if the child lived on.
    let finished = host.run(sharing("sleep 1000 & echo out")).await;
    assert_eq!(
        (finished.stdout.as_str(), finished.end),
        ("out\n", ProcessEnd::Exited(0))
    );
    host.create("killed", sharing("sleep 1000 & sleep 1000"))
        .await
        .unwrap();
    host.agent
        .signal_container("killed", 9, DEADLINE)
        .await
        .unwrap();
    let finished = host.finish("killed", "").await;
    assert_eq!(finished.end, ProcessEnd::Signaled(9));
    let other = ProcessRef {
        container_id: "other".into(),
        exec_id: String::new(),
    };
    host.agent
        .signal_process(&other, 15, DEADLINE)
        .await
        .unwrap();
    assert_eq!(host.end_of(&other).await.0, ProcessEnd::Signaled(15));
    host.stop().await;
}

fn targeting(target: &str, script: &str) -> Wanted {
    Wanted {
        target: target.to_owned(),
        ..shell(script)
    }
}

#[tokio::test]
async fn container_is_among_the_processes_of_its_target() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create("app", shell("sleep 4713; true")).await.unwrap();
    let script =
        "tr '\\0' ' ' </proc/1/cmdline; echo; ps | grep -c '[s]leep 4713$'; sleep 1000 & echo out";
    let finished = host.run(targeting("app", script)).await;
    // Its own end takes what it has left, and nothing of the target's.
    assert_eq!(finished.stdout, "/bin/sh -c sleep 4713; true \n1\nout\n");
    host.create("debug", targeting("app", "sleep 1000"))
        .await
        .unwrap();
    host.agent
        .signal_container("app", 9, DEADLINE)
        .await
        .unwrap();
    // The target's first process is its namespace's.
    assert_eq!(host.finish("debug", "").await.end, ProcessEnd::Signaled(9));
    let app = ProcessRef {
        container_id: "app".into(),
        exec_id: String::new(),
    };
    assert_eq!(host.end_of(&app).await.0, ProcessEnd::Signaled(9));
    let check = async |target: &str, words: &str| {
        let error = host.create("late", targeting(target, "true")).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        host.assert_nothing_left("late");
    };
    check("app", "container app is not running").await;
    check("none", "no container none").await;
    host.stop().await;
}

#[tokio::test]
async fn pod_without_the_namespace_has_none_to_share() {
    let Some(host) = Host::start().await else {
        return;
    };
    let refused = host.create("c", sharing("true")).await;
    let Err(AgentError::Precondition { message }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(message, "the pod was started without share_pid_namespace");
    host.assert_nothing_left("c");
    host.stop().await;
}
