//! What is refused: requests that are wrong, objects that are not there, calls that this build does not serve.

use std::fs;

use cri::v1::*;
use cri_server::{Guest, Handler};
use tonic::Code;

use crate::bench::{Bench, Daemon, check, sandbox};

/// No pod has it.
const NOBODY: &str = "00000000000000000000000000000000";

fn run(config: Option<PodSandboxConfig>, handler: &str) -> RunPodSandboxRequest {
    RunPodSandboxRequest {
        config,
        runtime_handler: handler.to_owned(),
    }
}

async fn nothing_is_listed(daemon: &mut Daemon) {
    let request = ListPodSandboxRequest::default();
    let listed = daemon.runtime.list_pod_sandbox(request).await.unwrap();
    assert_eq!(listed.into_inner().items, []);
}

#[tokio::test]
async fn sandboxes_that_can_not_be_are_refused_before_anything_is_made() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let nothing = daemon.runtime.run_pod_sandbox(run(None, "")).await;
    check(nothing, Code::InvalidArgument, "config");
    let nameless = run(Some(PodSandboxConfig::default()), "");
    let nameless = daemon.runtime.run_pod_sandbox(nameless).await;
    check(nameless, Code::InvalidArgument, "metadata");
    let handled = run(Some(sandbox("web")), "runc");
    let handled = daemon.runtime.run_pod_sandbox(handled).await;
    check(handled, Code::InvalidArgument, "runc");
    let mut config = sandbox("web");
    let options = NamespaceOption {
        network: NamespaceMode::Node.into(),
        ..NamespaceOption::default()
    };
    config.linux = Some(LinuxPodSandboxConfig {
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(options),
            ..LinuxSandboxSecurityContext::default()
        }),
        ..LinuxPodSandboxConfig::default()
    });
    let on_the_node = daemon.runtime.run_pod_sandbox(run(Some(config), "")).await;
    check(on_the_node, Code::FailedPrecondition, "hostNetwork");
    let mut config = sandbox("web");
    config.port_mappings = vec![PortMapping {
        host_port: 80_800,
        container_port: 80,
        ..PortMapping::default()
    }];
    let mapped = daemon.runtime.run_pod_sandbox(run(Some(config), "")).await;
    check(mapped, Code::InvalidArgument, "host_port 80800");
    let mut config = sandbox("web");
    config.linux = Some(LinuxPodSandboxConfig {
        cgroup_parent: "/kubepods/pod1".to_owned(),
        ..LinuxPodSandboxConfig::default()
    });
    let no_slice = daemon.runtime.run_pod_sandbox(run(Some(config), "")).await;
    check(no_slice, Code::InvalidArgument, "linux.cgroup_parent");
    nothing_is_listed(&mut daemon).await;
}

#[tokio::test]
async fn messages_of_more_than_4_mib_arrive() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let mut config = sandbox("web");
    config
        .annotations
        .insert("large".to_owned(), "x".repeat(8 << 20));
    let large = daemon.runtime.run_pod_sandbox(run(Some(config), "")).await;
    check(large, Code::InvalidArgument, "at most");
}

#[tokio::test]
async fn sandbox_that_fails_leaves_nothing_and_its_name_is_free() {
    let bench = Bench::new();
    let mut settings = bench.settings();
    let broken = Guest {
        kernel: bench.path("no-such-kernel"),
        ..bench.guest()
    };
    let handlers = &mut settings.runtime_handlers;
    handlers.insert("cofferdam".to_owned(), Handler::Vm(broken));
    let mut daemon = Bench::serve_with(settings).await;
    for _ in 0..2 {
        let request = run(Some(sandbox("web")), "cofferdam");
        let failed = daemon.runtime.run_pod_sandbox(request).await;
        check(failed, Code::FailedPrecondition, "no-such-kernel");
    }
    nothing_is_listed(&mut daemon).await;
    for folder in ["pods", "records"] {
        let left = fs::read_dir(bench.path(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}");
    }
}

#[tokio::test]
async fn sandbox_whose_monitor_is_none_leaves_nothing() {
    let bench = Bench::new();
    let mut settings = bench.settings();
    settings.parts.monitor = "/bin/false".into();
    let mut daemon = Bench::serve_with(settings).await;
    for _ in 0..2 {
        // Without KVM it fails earlier; both are errors of the host.
        let failed = daemon
            .runtime
            .run_pod_sandbox(run(Some(sandbox("web")), ""))
            .await;
        check(failed, Code::Internal, "");
    }
    nothing_is_listed(&mut daemon).await;
    let cgroup = bench.cgroup_mount().join(bench.cgroup_parent());
    assert!(!cgroup.exists(), "{}", cgroup.display());
    for folder in ["pods", "records"] {
        let left = fs::read_dir(bench.path(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}");
    }
}

#[tokio::test]
async fn ends_of_what_is_not_there_are_good() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let pod_sandbox_id = || NOBODY.to_owned();
    for pod_sandbox_id in [pod_sandbox_id(), String::new()] {
        let stop = StopPodSandboxRequest {
            pod_sandbox_id: pod_sandbox_id.clone(),
        };
        daemon.runtime.stop_pod_sandbox(stop).await.unwrap();
        let remove = RemovePodSandboxRequest { pod_sandbox_id };
        daemon.runtime.remove_pod_sandbox(remove).await.unwrap();
    }
    let stop = StopContainerRequest {
        container_id: NOBODY.to_owned(),
        timeout: 0,
    };
    daemon.runtime.stop_container(stop).await.unwrap();
    let remove = RemoveContainerRequest {
        container_id: NOBODY.to_owned(),
    };
    daemon.runtime.remove_container(remove).await.unwrap();
}

#[tokio::test]
async fn questions_about_what_is_not_there_are_not_found() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let runtime = &mut daemon.runtime;
    let id = || NOBODY.to_owned();
    let status = PodSandboxStatusRequest {
        pod_sandbox_id: id(),
        verbose: false,
    };
    check(
        runtime.pod_sandbox_status(status).await,
        Code::NotFound,
        NOBODY,
    );
    let status = ContainerStatusRequest {
        container_id: id(),
        verbose: false,
    };
    check(
        runtime.container_status(status).await,
        Code::NotFound,
        NOBODY,
    );
    let start = StartContainerRequest { container_id: id() };
    check(runtime.start_container(start).await, Code::NotFound, NOBODY);
    let reopen = ReopenContainerLogRequest { container_id: id() };
    check(
        runtime.reopen_container_log(reopen).await,
        Code::NotFound,
        NOBODY,
    );
    let create = CreateContainerRequest {
        pod_sandbox_id: id(),
        ..CreateContainerRequest::default()
    };
    check(
        runtime.create_container(create).await,
        Code::NotFound,
        NOBODY,
    );
    let exec = |cmd: &[&str], timeout| ExecSyncRequest {
        container_id: id(),
        cmd: cmd.iter().map(|word| (*word).to_owned()).collect(),
        timeout,
    };
    check(
        runtime.exec_sync(exec(&["true"], 0)).await,
        Code::NotFound,
        NOBODY,
    );
    check(
        runtime.exec_sync(exec(&[], 0)).await,
        Code::InvalidArgument,
        "no command",
    );
    check(
        runtime.exec_sync(exec(&["true"], -1)).await,
        Code::InvalidArgument,
        "below zero",
    );
}

#[tokio::test]
async fn limits_and_figures_of_what_is_not_there_are_not_found() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let runtime = &mut daemon.runtime;
    let id = || NOBODY.to_owned();
    let update = UpdateContainerResourcesRequest {
        container_id: id(),
        ..UpdateContainerResourcesRequest::default()
    };
    check(
        runtime.update_container_resources(update).await,
        Code::NotFound,
        NOBODY,
    );
    let stats = ContainerStatsRequest { container_id: id() };
    check(runtime.container_stats(stats).await, Code::NotFound, NOBODY);
    let stats = PodSandboxStatsRequest {
        pod_sandbox_id: id(),
    };
    check(
        runtime.pod_sandbox_stats(stats).await,
        Code::NotFound,
        NOBODY,
    );
}

#[tokio::test]
async fn calls_that_are_not_served_say_why() {
    let bench = Bench::new();
    let mut daemon = bench.serve().await;
    let runtime = &mut daemon.runtime;
    macro_rules! refused {
        ($($call:ident: $request:expr, $words:literal;)*) => {
            $(check(runtime.$call($request).await, Code::Unimplemented, $words);)*
        };
    }
    refused! {
        checkpoint_container: CheckpointContainerRequest::default(), "checkpoint";
    }
}
