//! `cofferdam serve`: the daemon of a node. Makes its settings out of the configuration, and tells it when to end; all else is
//! `cri-server`'s. Pods outlive it.

use std::time::Duration;

use anyhow::Context;
use cri_server::{
    CgroupSettings, ContainerDefaults, HostPods, NetworkSettings, Settings, StreamingSettings,
    VmParts,
};
use pod::CgroupPlan;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Console};

/// For threads that still write to a disk when everything else has ended.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(config: &Config) -> anyhow::Result<()> {
    let cgroup = CgroupSettings {
        mount: CgroupPlan::find_mount().context("look for cgroup v2")?,
        driver: config.cgroup.driver.settled(),
        parent: config.cgroup.parent.0.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        // Before anything is taken over: a signal that comes early is not lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        cri_server::serve(settings(config, cgroup), end).await?;
        anyhow::Ok(())
    });
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

fn settings(config: &Config, cgroup: CgroupSettings) -> Settings {
    let guest = config.guest();
    Settings {
        socket: config.cri_socket(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_handlers: config.cri.runtime_handlers.laid_over(&guest),
        host_pods: HostPods {
            enabled: config.host_pods.enabled,
            agent: config.host_pods.agent.clone(),
            layers_dir: config.layer_dir(),
        },
        images_dir: config.image_dir(),
        pinned_images: config.cri.pinned_images.clone(),
        registries: config.registry.clone(),
        records_dir: config.record_dir(),
        pods_dir: config.pod_dir(),
        scratch: config.scratch(),
        cgroup,
        vfio: config.vfio.settings(),
        metrics: config.metrics.listen.0.clone(),
        streaming: StreamingSettings {
            listen: config.streaming.listen,
            base_url: config.streaming.base_url.clone(),
            tls: config.streaming.tls.clone(),
        },
        deadline_scale: config.deadline_scale,
        network: NetworkSettings {
            conf_dir: config.network.conf_dir.clone(),
            bin_dirs: config.network.bin_dirs.clone(),
            max_networks: config.network.max_networks,
            state_dir: config.network_dir(),
            run_dir: config.run_dir.clone(),
        },
        parts: VmParts {
            monitor: config.monitor.clone(),
            share_server: config.share_server.clone(),
            monitor_identity: (config.jail.uid, config.jail.gid),
            console_log: config.vm.console == Console::Log,
        },
        guest,
        container: ContainerDefaults {
            pids_limit: config.container.pids_limit,
            writable_mib: config.container.writable_mib,
        },
    }
}
