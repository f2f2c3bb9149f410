//! What a container may do and use, over the Container Runtime Interface: its security context, changed limits, statistics.

use anyhow::{Context, Result, ensure};
use cri::v1::{
    Capability, ContainerStatsRequest, Int64Value, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, ListContainerStatsRequest, PodSandboxStatsRequest,
    UpdateContainerResourcesRequest,
};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};

pub(crate) const TESTS: &[Test] = &[
    ("security_context_reaches_the_container", security),
    ("limits_change_while_it_runs", update),
    ("statistics_are_of_what_runs", statistics),
];

const SLEEP: &str = "exec sleep 1000";

fn security(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("main", SLEEP);
    config.linux = Some(LinuxContainerConfig {
        resources: Some(LinuxContainerResources {
            oom_score_adj: 321,
            ..LinuxContainerResources::default()
        }),
        security_context: Some(LinuxContainerSecurityContext {
            run_as_user: Some(Int64Value { value: 1000 }),
            run_as_group: Some(Int64Value { value: 2000 }),
            supplemental_groups: vec![3000],
            capabilities: Some(Capability {
                drop_capabilities: vec!["ALL".to_owned()],
                ..Capability::default()
            }),
            no_new_privs: true,
            ..LinuxContainerSecurityContext::default()
        }),
    });
    let id = daemon.create(&sandbox, config)?;
    daemon.start_container(&id)?;
    let script = "cat /proc/1/status /proc/1/oom_score_adj";
    let said = daemon.exec(&id, script, 10)?;
    let text = String::from_utf8(said.stdout)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    for expect in [
        ["Uid:", "1000"],
        ["Gid:", "2000"],
        ["CapBnd:", "0000000000000000"],
        ["NoNewPrivs:", "1"],
    ] {
        ensure!(words.windows(2).any(|two| two == expect), "{text}");
    }
    ensure!(words.contains(&"3000"), "{text}");
    ensure!(words.last() == Some(&"321"), "{text}");
    let user = daemon.status(&id)?.user.and_then(|user| user.linux);
    let user = user.context("the guest says who it is")?;
    let told = (user.uid, user.gid) == (1000, 2000) && user.supplemental_groups.contains(&3000);
    ensure!(told, "{user:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn update(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let update = |daemon: &Daemon<'_>, linux: LinuxContainerResources| {
        let request = UpdateContainerResourcesRequest {
            container_id: id.clone(),
            linux: Some(linux),
            ..UpdateContainerResourcesRequest::default()
        };
        daemon.call(async |mut client| client.update_container_resources(request).await)
    };
    let larger = LinuxContainerResources {
        memory_limit_in_bytes: 48 << 20,
        cpu_quota: 20_000,
        cpu_period: 50_000,
        // A number of the host's, which no guest has.
        cpuset_cpus: "200".to_owned(),
        ..LinuxContainerResources::default()
    };
    update(&daemon, larger)?;
    let said = daemon.exec(
        &id,
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max",
        10,
    )?;
    ensure!(said.stdout == b"50331648\n20000 50000\n", "{said:?}");
    // One of the two is no file of the kernel's, so neither is changed.
    let half_wrong = LinuxContainerResources {
        memory_limit_in_bytes: 64 << 20,
        unified: [("memory.nonsense".to_owned(), "1".to_owned())].into(),
        ..LinuxContainerResources::default()
    };
    let refused = update(&daemon, half_wrong);
    ensure!(refused.is_err(), "{refused:?}");
    daemon.restart()?;
    let resources = daemon.status(&id)?.resources;
    let linux = resources.and_then(|resources| resources.linux);
    let linux = linux.context("its limits")?;
    ensure!(linux.memory_limit_in_bytes == 48 << 20, "{linux:?}");
    ensure!(linux.cpu_quota == 20_000, "{linux:?}");
    daemon.stop(&id, 0)?;
    let late = update(&daemon, linux);
    expect_failure(late, Code::FailedPrecondition, "does not run")?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn statistics(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let created = daemon.create(&sandbox, daemon.script("idle", SLEEP))?;
    let request = ContainerStatsRequest {
        container_id: id.clone(),
    };
    let stats = daemon.call(async |mut client| client.container_stats(request).await)?;
    let stats = stats.stats.context("its statistics")?;
    let cpu = stats.cpu.context("its processor time")?;
    let used = cpu.usage_core_nano_seconds.context("its time")?.value;
    ensure!(
        cpu.timestamp > 0 && used > 0,
        "{used} ns at {}",
        cpu.timestamp
    );
    let memory = stats.memory.context("its memory")?;
    let working = memory.working_set_bytes.context("its working set")?;
    ensure!(working.value > 0, "{memory:?}");
    let disk = stats.writable_layer.and_then(|layer| layer.fs_id);
    let disk = disk.context("its writable layer")?.mountpoint;
    ensure!(std::path::Path::new(&disk).is_dir(), "{disk}");
    let request = ListContainerStatsRequest::default();
    let listed = daemon.call(async |mut client| client.list_container_stats(request).await)?;
    let ids = listed
        .stats
        .into_iter()
        .filter_map(|stats| stats.attributes);
    let ids: Vec<String> = ids.map(|attributes| attributes.id).collect();
    ensure!(
        ids == [id],
        "without {created}, which does not run: {ids:?}"
    );
    let request = PodSandboxStatsRequest {
        pod_sandbox_id: sandbox.clone(),
    };
    let stats = daemon.call(async |mut client| client.pod_sandbox_stats(request).await)?;
    let linux = stats.stats.and_then(|stats| stats.linux);
    let linux = linux.context("the pod's statistics")?;
    ensure!(linux.containers.len() == 1, "{linux:?}");
    let processes = linux.process.and_then(|process| process.process_count);
    ensure!(processes.is_some_and(|count| count.value >= 1));
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
