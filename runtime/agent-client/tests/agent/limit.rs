//! Limits of a container's cgroup, each where this machine's cgroup version 2 has the controller.

use agent_client::{AgentError, Output, ProcessEnd};
use serde_json::{Value, json};

use crate::host::{DEADLINE, Host, read_all, shell};

#[tokio::test]
async fn memory_limit_kills_and_is_reported_as_such() {
    let Some(host) = Host::start().await else {
        return;
    };
    if !host.has_controller("memory") {
        return host.stop().await;
    }
    let mut wanted = shell("x=$(yes | head -c 64000000); echo survived");
    wanted.spec["linux"]["resources"] =
        json!({"memory": {"limit": 16_000_000, "swap": 16_000_000}});
    let finished = host.run(wanted).await;
    assert!(finished.out_of_memory);
    assert_eq!(
        (finished.stdout.as_str(), finished.end),
        ("", ProcessEnd::Signaled(9))
    );
    host.stop().await;
}

#[tokio::test]
async fn process_limit_holds() {
    let Some(host) = Host::start().await else {
        return;
    };
    if !host.has_controller("pids") {
        return host.stop().await;
    }
    let mut wanted = shell("sleep 100 & sleep 100 & sleep 100 & echo never");
    wanted.spec["linux"]["resources"] = json!({"pids": {"limit": 3}});
    let finished = host.run(wanted).await;
    assert_eq!(finished.stdout, "", "{}", finished.stderr);
    assert_ne!(finished.end, ProcessEnd::Exited(0));
    host.stop().await;
}

#[tokio::test]
async fn huge_page_and_unified_limits_are_written() {
    let Some(host) = Host::start().await else {
        return;
    };
    if !host.has_controller("hugetlb") {
        return host.stop().await;
    }
    let mut wanted = shell("cat /sys/fs/cgroup/hugetlb.2MB.max /sys/fs/cgroup/hugetlb.1GB.max");
    wanted.spec["mounts"].as_array_mut().unwrap().extend([
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}),
    ]);
    wanted.spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "cgroup"}));
    wanted.spec["linux"]["resources"] = json!({
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
        "unified": {"hugetlb.1GB.max": "1073741824"},
    });
    let finished = host.run(wanted).await;
    assert_eq!(
        finished.stdout, "4194304\n1073741824\n",
        "{}",
        finished.stderr
    );
    host.stop().await;
}

#[tokio::test]
async fn device_outside_of_the_list_cannot_be_opened() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut wanted = shell(
        "mknod /dev/mem c 1 1 && head -c 1 /dev/mem; head -c 3 /dev/zero | wc -c; echo x >/dev/null && echo null",
    );
    let caps = json!(["CAP_MKNOD", "CAP_SYS_RAWIO"]);
    wanted.spec["process"]["capabilities"] =
        json!({"bounding": caps, "effective": caps, "permitted": caps});
    wanted.spec["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    let finished = host.run(wanted).await;
    assert_eq!(finished.stdout, "3\nnull\n");
    assert!(
        finished.stderr.contains("Operation not permitted"),
        "{}",
        finished.stderr
    );
    host.stop().await;
}

#[tokio::test]
async fn usage_is_told_while_it_runs() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.create("c", shell("sleep 1000")).await.unwrap();
    let usage = host.agent.container_usage("c", DEADLINE).await.unwrap();
    assert_eq!(usage.oom_kills, 0);
    assert_eq!(usage.container_id, "c");
    assert!(usage.time_ns > 0);
    // The mount points are in the writable layer.
    assert!(usage.writable_inodes > 0, "{usage:?}");
    host.create("b", shell("sleep 1000 & sleep 1000"))
        .await
        .unwrap();
    let pod = host.agent.pod_usage(DEADLINE).await.unwrap();
    let ids: Vec<_> = pod
        .containers
        .iter()
        .map(|c| c.container_id.as_str())
        .collect();
    assert_eq!(ids, ["b", "c"]);
    assert!(pod.processes >= 2, "{pod:?}");
    // The agent is on a host, which it has not for itself: what it counts is its containers'.
    assert!(pod.memory_total_bytes >= pod.memory_available_bytes);
    assert!(pod.cpu_ns > 0);
    assert!(pod.interfaces.is_empty(), "{pod:?}");
    host.agent.remove_container("b", DEADLINE).await.unwrap();
    if host.has_controller("pids") {
        assert!(usage.pids >= 1);
    }
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    assert!(host.agent.container_usage("c", DEADLINE).await.is_err());
    host.stop().await;
}

/// Shows its limits of huge pages whenever it reads a line.
fn huge_pages() -> crate::host::Wanted {
    let script =
        "while read go; do cat /sys/fs/cgroup/hugetlb.2MB.max /sys/fs/cgroup/hugetlb.1GB.max; done";
    let mut wanted = shell(script);
    wanted.stdio.stdin = true;
    wanted.spec["mounts"].as_array_mut().unwrap().extend([
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}),
    ]);
    let namespaces = wanted.spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "cgroup"}));
    wanted
}

async fn update(host: &Host, resources: &Value) -> Result<(), AgentError> {
    let resources = serde_json::to_vec(resources).unwrap();
    host.agent.update_container("c", resources, DEADLINE).await
}

#[tokio::test]
async fn limits_change_all_or_none() {
    let Some(host) = Host::start().await else {
        return;
    };
    if !host.has_controller("hugetlb") {
        return host.stop().await;
    }
    host.create("c", huge_pages()).await.unwrap();
    let first = agent_client::ProcessRef {
        container_id: "c".into(),
        exec_id: String::new(),
    };
    let mut stdin = host.agent.open_stdin(&first, 0).await.unwrap();
    let both = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
        "unified": {"hugetlb.1GB.max": "1073741824"}});
    update(&host, &both).await.unwrap();
    stdin.write(b"go\n").await.unwrap();
    let mut stdout = host
        .agent
        .open_output(&first, Output::Stdout, 0)
        .await
        .unwrap();
    let line = "4194304\n1073741824\n";
    // It has looked before the next change, which is undone only in the end.
    let mut said = Vec::new();
    while said.len() < line.len() {
        let mut part = [0; 64];
        let length = stdout.read(&mut part).await.unwrap();
        assert!(length > 0, "{said:?}");
        said.extend_from_slice(&part[..length]);
    }
    let refused = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 2_097_152}],
        "unified": {"hugetlb.1GB.max": "many"}});
    let error = update(&host, &refused).await.unwrap_err().to_string();
    let expect = "set hugetlb.1GB.max of the container's cgroup to \"many\": ";
    assert!(error.starts_with(expect), "{error}");
    stdin.write(b"go\n").await.unwrap();
    stdin.close().await.unwrap();
    let rest = read_all(stdout).await;
    assert_eq!(String::from_utf8(said).unwrap() + &rest, line.repeat(2));
    host.end_of(&first).await;
    host.stop().await;
}

#[tokio::test]
async fn update_that_makes_no_sense_is_refused_with_the_reason() {
    let Some(host) = Host::start().await else {
        return;
    };
    let nobody = update(&host, &json!({})).await;
    assert!(
        matches!(nobody, Err(AgentError::NotFound { .. })),
        "{nobody:?}"
    );
    host.create("c", shell("sleep 1000")).await.unwrap();
    update(&host, &json!({})).await.unwrap();
    let check = async |resources: Value, expect: &str| {
        let error = update(&host, &resources).await.unwrap_err();
        assert!(error.to_string().contains(expect), "{error} for {expect}");
        error
    };
    let fixed = check(json!({"devices": []}), "devices can't be changed").await;
    assert!(matches!(fixed, AgentError::Invalid { .. }), "{fixed:?}");
    let bad = check(json!({"pids": 3}), "are not OCI resources").await;
    assert!(matches!(bad, AgentError::Invalid { .. }), "{bad:?}");
    let missing = check(
        json!({"unified": {"nothing.max": "1"}}),
        "have no nothing.max",
    )
    .await;
    assert!(
        matches!(missing, AgentError::Precondition { .. }),
        "{missing:?}"
    );
    host.stop().await;
}
