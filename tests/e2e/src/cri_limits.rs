//! What a container may do and use, over the Container Runtime Interface: its security context, changed limits, statistics.

use anyhow::{Context, Result, ensure};
use cri::v1::{
    Capability, CheckpointContainerRequest, ContainerStats, ContainerStatsRequest, Int64Value,
    LinuxContainerConfig, LinuxContainerResources, LinuxContainerSecurityContext,
    ListContainerStatsRequest, ListPodSandboxStatsRequest, PodSandboxStats, PodSandboxStatsRequest,
    StreamContainerStatsRequest, StreamPodSandboxStatsRequest, UpdateContainerResourcesRequest,
    UpdatePodSandboxResourcesRequest,
};
use tonic::{Code, Response};

use crate::Test;
use crate::case::Case;
use crate::case::Images;
use crate::cri_apparmor::under;
use crate::daemon::{Daemon, all, expect_failure};

pub(crate) const TESTS: &[Test] = &[
    ("security_context_reaches_the_container", security),
    ("limits_change_while_it_runs", update),
    ("machine_is_as_large_as_the_sandbox_says", size),
    ("statistics_are_of_what_runs", statistics),
];

const SLEEP: &str = "exec sleep 1000";

fn security(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut half = daemon.script("main", SLEEP);
    half.linux = Some(LinuxContainerConfig {
        security_context: Some(LinuxContainerSecurityContext {
            run_as_group: Some(Int64Value { value: 2000 }),
            ..LinuxContainerSecurityContext::default()
        }),
        ..LinuxContainerConfig::default()
    });
    let refused = daemon.create(&sandbox, half);
    expect_failure(refused, Code::InvalidArgument, "run_as_group")?;
    // Whether this node has AppArmor or not.
    let unloaded = under("cofferdam-e2e-unloaded", daemon.script("main", SLEEP));
    let refused = daemon.create(&sandbox, unloaded);
    let words = "the AppArmor profile \"cofferdam-e2e-unloaded\" can't be applied";
    expect_failure(refused, Code::FailedPrecondition, words)?;
    ensure!(daemon.containers()?.is_empty(), "nothing is left");
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
    // What is not said stays.
    let weight = LinuxContainerResources {
        cpu_shares: 512,
        ..LinuxContainerResources::default()
    };
    update(&daemon, weight)?;
    let said = daemon.exec(&id, "cat /sys/fs/cgroup/memory.max", 10)?;
    ensure!(said.stdout == b"50331648\n", "{said:?}");
    for_the_pod(&daemon, &sandbox, &id)?;
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

/// Its VM keeps its size, and nothing of it is written to a file.
fn for_the_pod(daemon: &Daemon<'_>, sandbox: &str, container: &str) -> Result<()> {
    let resize = |id: &str| {
        let request = UpdatePodSandboxResourcesRequest {
            pod_sandbox_id: id.to_owned(),
            resources: Some(LinuxContainerResources {
                memory_limit_in_bytes: 1 << 30,
                ..LinuxContainerResources::default()
            }),
            overhead: None,
        };
        daemon.call(async |mut client| client.update_pod_sandbox_resources(request).await)
    };
    resize(sandbox)?;
    expect_failure(resize("nobody"), Code::NotFound, "nobody")?;
    let request = CheckpointContainerRequest {
        container_id: container.to_owned(),
        location: "/tmp/checkpoint.tar".to_owned(),
        timeout: 0,
    };
    let answer = daemon.call(async |mut client| client.checkpoint_container(request).await);
    expect_failure(answer, Code::Unimplemented, "checkpoint")
}

/// The VM has what the sandbox's containers may use together, and its own share beside.
fn size(case: &Case) -> Result<()> {
    let over = "[cri.runtime_handlers]
        pairs = { kind = \"vm\", cpus = 2, kernel_arguments = \"cofferdam.e2e=pairs\" }";
    let daemon = Daemon::start_with(case, Images::Shared, over.parse()?)?;
    let mut config = daemon.sandbox_config("web")?;
    let linux = config.linux.get_or_insert_default();
    linux.resources = Some(LinuxContainerResources {
        memory_limit_in_bytes: 300 << 20,
        cpu_quota: 250_000,
        cpu_period: 100_000,
        ..LinuxContainerResources::default()
    });
    linux.overhead = Some(LinuxContainerResources {
        memory_limit_in_bytes: 128 << 20,
        ..LinuxContainerResources::default()
    });
    let sandbox = daemon.run_configured(config, "")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let said = daemon.exec(&id, "nproc; grep MemTotal /proc/meminfo", 10)?;
    let text = String::from_utf8(said.stdout)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["3", "MemTotal:", total, "kB"] = words[..] else {
        anyhow::bail!("not 3 processors and a number of kB: {text}");
    };
    // What the kernel itself takes is no part of it.
    let mib = total.parse::<u64>()? >> 10;
    ensure!((340..=428).contains(&mib), "{mib} MiB");
    daemon.remove_sandbox(&sandbox)?;
    // Where it says nothing, its handler does.
    let sandbox = daemon.run_configured(daemon.sandbox_config("pair")?, "pairs")?;
    let id = daemon.run(&sandbox, "pair", SLEEP)?;
    let said = daemon.exec(&id, "nproc; grep -o cofferdam.e2e=pairs /proc/cmdline", 10)?;
    ensure!(said.stdout == b"2\ncofferdam.e2e=pairs\n", "{said:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn statistics(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let mut config = daemon.script("main", SLEEP);
    config.labels = [("app".to_owned(), "web".to_owned())].into();
    config.annotations = [("note".to_owned(), "of the container".to_owned())].into();
    let annotations = config.annotations.clone();
    let id = daemon.create(&sandbox, config)?;
    daemon.start_container(&id)?;
    let created = daemon.create(&sandbox, daemon.script("idle", SLEEP))?;
    let stats = stats_of(&daemon, &id)?;
    let about = stats.attributes.clone().context("whose they are")?;
    let metadata = about.metadata.context("its name")?;
    let app = about.labels.get("app").map(String::as_str);
    ensure!((metadata.name.as_str(), app) == ("main", Some("web")));
    ensure!(about.annotations == annotations, "{:?}", about.annotations);
    let used = processor_time(&stats)?;
    let burnt = daemon.exec(&id, "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done", 60)?;
    ensure!(burnt.exit_code == 0, "{burnt:?}");
    let later = processor_time(&stats_of(&daemon, &id)?)?;
    ensure!(used > 0 && later > used, "{used} ns and then {later} ns");
    let memory = stats.memory.context("its memory")?;
    ensure!(memory.timestamp > 0, "{memory:?}");
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
    let request = StreamContainerStatsRequest::default();
    let streamed = daemon.call(async |mut client| {
        let stream = client.stream_container_stats(request).await?;
        Ok(Response::new(
            all(stream, |piece| piece.container_stats).await?,
        ))
    })?;
    let streamed = streamed.into_iter().filter_map(|stats| stats.attributes);
    let streamed: Vec<String> = streamed.map(|attributes| attributes.id).collect();
    ensure!(streamed == ids, "{streamed:?}");
    let request = PodSandboxStatsRequest {
        pod_sandbox_id: sandbox.clone(),
    };
    let stats = daemon.call(async |mut client| client.pod_sandbox_stats(request).await)?;
    let linux = stats.stats.and_then(|stats| stats.linux);
    let linux = linux.context("the pod's statistics")?;
    ensure!(linux.containers.len() == 1, "{linux:?}");
    let processes = linux.process.and_then(|process| process.process_count);
    ensure!(processes.is_some_and(|count| count.value >= 1));
    let network = linux.network.and_then(|network| network.default_interface);
    let network = network.context("its network")?;
    ensure!(
        network.name == "eth0" && network.tx_bytes.is_some_and(|bytes| bytes.value > 0),
        "{network:?}"
    );
    pods_are_listed(&daemon, &sandbox)?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn stats_of(daemon: &Daemon<'_>, id: &str) -> Result<ContainerStats> {
    let request = ContainerStatsRequest {
        container_id: id.to_owned(),
    };
    let stats = daemon.call(async |mut client| client.container_stats(request).await)?;
    stats.stats.context("its statistics")
}

/// In nanoseconds, since it was started.
fn processor_time(stats: &ContainerStats) -> Result<u64> {
    let cpu = stats.cpu.as_ref().context("its processor time")?;
    ensure!(cpu.timestamp > 0, "{cpu:?}");
    let used = cpu.usage_core_nano_seconds;
    Ok(used.context("its time")?.value)
}

/// This one, by both calls that list them.
fn pods_are_listed(daemon: &Daemon<'_>, sandbox: &str) -> Result<()> {
    let ids = |stats: Vec<PodSandboxStats>| -> Vec<String> {
        let attributes = stats.into_iter().filter_map(|stats| stats.attributes);
        attributes.map(|attributes| attributes.id).collect()
    };
    let request = ListPodSandboxStatsRequest::default();
    let listed = daemon.call(async |mut client| client.list_pod_sandbox_stats(request).await)?;
    let listed = ids(listed.stats);
    let request = StreamPodSandboxStatsRequest::default();
    let streamed = daemon.call(async |mut client| {
        let stream = client.stream_pod_sandbox_stats(request).await?;
        Ok(Response::new(
            all(stream, |piece| piece.pod_sandbox_stats).await?,
        ))
    })?;
    let streamed = ids(streamed);
    ensure!(
        listed == [sandbox] && streamed == listed,
        "{listed:?}, {streamed:?}"
    );
    Ok(())
}
