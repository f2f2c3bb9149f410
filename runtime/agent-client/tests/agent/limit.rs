//! Limits of a container's cgroup, each where this machine's cgroup version 2 has the controller.

use agent_client::ProcessEnd;
use serde_json::json;

use crate::host::{DEADLINE, Host, shell};

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
    if host.has_controller("pids") {
        assert!(usage.pids >= 1);
    }
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    assert!(host.agent.container_usage("c", DEADLINE).await.is_err());
    host.stop().await;
}
