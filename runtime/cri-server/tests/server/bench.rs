//! A daemon for a test: folders, records, a client. Main type: [`Bench`].

use std::{
    fs,
    num::NonZeroU8,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, PodSandboxConfig, PodSandboxMetadata,
    VersionRequest, image_service_client::ImageServiceClient,
    runtime_service_client::RuntimeServiceClient,
};
use cri_server::{
    CgroupSettings, ContainerDefaults, Guest, Handler, HostPods, NetworkSettings, ServeError,
    Settings, StreamingSettings, VfioDevices, VfioSettings, VmDefaults, VmParts, serve,
};
use pod::{CgroupDriver, CgroupParent, CgroupPlan};
use prost::Message;
use registry::Hosts;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

/// For anything that a test waits for.
pub(crate) const SOON: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The folders of one node.
#[derive(Debug)]
pub(crate) struct Bench {
    folder: TempDir,
}

/// A daemon that serves.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) runtime: RuntimeServiceClient<Channel>,
    pub(crate) image: ImageServiceClient<Channel>,
    end: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Drop for Bench {
    /// The folder of network namespaces is a mount; a test that made none has none to take away.
    fn drop(&mut self) {
        let netns = self.path("run/netns");
        Command::new("umount")
            .arg("--lazy")
            .arg(netns)
            .output()
            .ok();
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["kernel", "guest", "monitor", "share-server"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn guest(&self) -> Guest {
        Guest {
            kernel: self.path("kernel"),
            image: self.path("guest"),
            kernel_arguments: String::new(),
            size: VmDefaults {
                processors: 1,
                memory_mib: 256,
                overhead_mib: 96,
            },
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            socket: self.path("run/cri.sock"),
            version: "1.2.3".to_owned(),
            runtime_handlers: [
                ("cofferdam", Handler::Vm(self.guest())),
                ("host", Handler::Host),
            ]
            .map(|(name, handler)| (name.to_owned(), handler))
            .into(),
            vfio: VfioSettings {
                devices: VfioDevices::Listed(Vec::new()),
                resources: Vec::new(),
                annotation: false,
                kubelet_socket: self.path("run/kubelet.sock"),
                hot_plug: 0,
            },
            host_pods: HostPods {
                enabled: false,
                agent: self.path("agent"),
                layers_dir: self.path("layers"),
            },
            images_dir: self.path("images"),
            pinned_images: Vec::new(),
            registries: Hosts::default(),
            records_dir: self.path("records"),
            pods_dir: self.path("pods"),
            cgroup: CgroupSettings {
                mount: Some(self.cgroup_mount()),
                driver: CgroupDriver::Systemd,
                parent: CgroupParent::plain(&self.cgroup_parent()).unwrap(),
            },
            scratch: None,
            metrics: None,
            streaming: StreamingSettings {
                listen: "127.0.0.1:0".parse().unwrap(),
                base_url: None,
                tls: None,
            },
            deadline_scale: 1,
            network: NetworkSettings {
                conf_dir: self.path("net.d"),
                bin_dirs: vec![self.path("cni-bin")],
                max_networks: NonZeroU8::MIN,
                state_dir: self.path("network"),
                run_dir: self.path("run"),
            },
            parts: VmParts {
                monitor: self.path("monitor"),
                share_server: self.path("share-server"),
                monitor_identity: (64055, 64055),
                console_log: false,
            },
            guest: self.guest(),
            container: ContainerDefaults {
                pids_limit: 0,
                writable_mib: 64,
            },
        }
    }

    /// A machine without cgroup v2 gets as far as a folder does.
    pub(crate) fn cgroup_mount(&self) -> PathBuf {
        let mount = CgroupPlan::find_mount().unwrap();
        mount.unwrap_or_else(|| self.folder.path().to_owned())
    }

    /// Of this test alone.
    pub(crate) fn cgroup_parent(&self) -> String {
        let name = self.folder.path().file_name().unwrap();
        format!("cofferdam-test{}", name.to_string_lossy())
    }

    pub(crate) async fn serve(&self) -> Daemon {
        Self::serve_with(self.settings()).await
    }

    pub(crate) async fn serve_with(settings: Settings) -> Daemon {
        let socket = settings.socket.clone();
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(settings, async move {
            ended.await.ok();
        }));
        let channel = timeout(SOON, connect(&socket)).await.unwrap();
        let mut runtime = RuntimeServiceClient::new(channel.clone())
            .max_decoding_message_size(cri::MAX_MESSAGE_BYTES);
        // Its socket is there before it has read what is in its folders, which a test may drop now.
        let version = runtime.version(VersionRequest::default());
        timeout(SOON, version).await.unwrap().unwrap();
        Daemon {
            runtime,
            image: ImageServiceClient::new(channel),
            end,
            serving,
        }
    }

    /// Writes the record of a pod that has stopped, as `pod` keeps it.
    pub(crate) fn record_pod(&self, id: &str, config: &PodSandboxConfig) {
        let folder = self.path("records").join(id);
        fs::create_dir_all(&folder).unwrap();
        let note = json!({
            "version": 1,
            "config": STANDARD.encode(config.encode_to_vec()),
            "handler": "cofferdam",
            "ips": ["10.1.2.3", "fd00::3"],
        });
        let record = json!({
            "version": 1,
            "id": id,
            "note": note,
            "created_at_ns": 1_795_341_600_000_000_000_i64,
            "hostname": "web",
            "phase": {"stopped": {"cause": null}},
        });
        fs::write(folder.join("pod.json"), record.to_string()).unwrap();
    }

    /// Writes the record of one of its containers, which has ended with this code.
    pub(crate) fn record_container(&self, pod: &str, id: &str, name: &str, code: u8) {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt: 0,
            }),
            image: Some(ImageSpec {
                user_specified_image: "busybox".to_owned(),
                ..ImageSpec::default()
            }),
            labels: [("name".to_owned(), name.to_owned())].into(),
            ..ContainerConfig::default()
        };
        let exit = json!({
            "started_at_ns": 1_795_341_601_000_000_000_i64,
            "finished_at_ns": 1_795_341_602_000_000_000_i64,
            "cause": {"ended": {"exited": code}},
        });
        let record = container_record(id, &note_of(&config), &json!({ "exited": exit }));
        let file = self.path("records").join(pod);
        fs::write(
            file.join(format!("{id}.container.json")),
            record.to_string(),
        )
        .unwrap();
    }
}

fn note_of(config: &ContainerConfig) -> Value {
    json!({
        "version": 1,
        "config": STANDARD.encode(config.encode_to_vec()),
        "image": {"id": "sha256:1", "name": "docker.io/library/busybox:latest", "reference": "sha256:1"},
        "stop_signal": 15,
    })
}

fn container_record(id: &str, note: &Value, phase: &Value) -> Value {
    json!({
        "id": id,
        "note": note,
        "spec": {
            "args": ["sh"], "env": [], "cwd": "/", "user": {}, "stdin": false, "terminal": null,
            "limits": {"memory_bytes": null, "pids": null},
            "read_only_root": false, "no_new_privileges": false,
        },
        "created_at_ns": 1_795_341_600_500_000_000_i64,
        "phase": phase,
        "log": "/var/log/pods/web/main/0.log",
        "writable_bytes": 0,
        "disk": null,
    })
}

impl Daemon {
    /// Ends it as a signal would.
    pub(crate) async fn end(self) {
        drop((self.runtime, self.image));
        self.end.send(()).unwrap();
        timeout(SOON, self.serving).await.unwrap().unwrap().unwrap();
    }
}

async fn connect(socket: &Path) -> Channel {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            // It has not made its socket yet.
            Err(_none) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// A sandbox's configuration with all that kubelet always says.
pub(crate) fn sandbox(name: &str) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        labels: [("app".to_owned(), name.to_owned())].into(),
        annotations: [("note".to_owned(), " as it is\n".to_owned())].into(),
        ..PodSandboxConfig::default()
    }
}

/// Checks a call that is to fail.
#[track_caller]
pub(crate) fn check<T: std::fmt::Debug>(
    result: Result<tonic::Response<T>, Status>,
    code: Code,
    words: &str,
) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(words), "{words:?} in {status}");
}
