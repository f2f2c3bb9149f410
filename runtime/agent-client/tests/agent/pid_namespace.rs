//! A PID namespace that the containers of a pod share.

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
