//! A function of the node for a pod, as kubelet says it: a device plugin's ID and a claim's CDI name lead to the test host's spare disk, and the
//! pod that kubelet gave it to works on it. The kubelet is the test's own; its answers have the shapes of KubeVirt's GPU plugin (an ID is a PCI
//! address) and of a DRA driver (a CDI file for each claim).

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, Device, PodSandboxConfig, RunPodSandboxRequest};
use pod_resources::v1::{
    CdiDevice, ClaimResource, ContainerDevices, ContainerResources, DynamicResource,
    GetPodResourcesRequest, GetPodResourcesResponse, ListPodResourcesRequest,
    ListPodResourcesResponse, PodResources,
    pod_resources_lister_server::{PodResourcesLister, PodResourcesListerServer},
};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use toml::Table;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use crate::Test;
use crate::case::{Case, Images};
use crate::daemon::{Daemon, expect_failure};
use crate::mounting::finish;
use crate::spare::Spare;

pub(crate) const TESTS: &[Test] = &[(
    "pod_works_on_the_function_that_kubelet_gave_it",
    works_on_what_kubelet_gave,
)];

const RESOURCE: &str = "nvidia.com/GB202_GEFORCE";
const CLAIM_KIND: &str = "k8s.gpu.nvidia.com/claim";
const CLAIM_NAME: &str = "c2f1a6d4-gpu-vfio-0";
const CDI_FILE: &str = "/var/run/cdi/k8s.gpu.nvidia.com-claim_c2f1a6d4.yaml";
const KNOWN: &[u8] = b"written by the node";
/// A function of the node's own: QEMU's host bridge.
const OF_THE_NODE: &str = "0000:00:00.0";

fn works_on_what_kubelet_gave(case: &Case) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    spare.write(case, 0, KNOWN)?;
    let group = spare.give_away()?;
    let _file = CdiFile::write(&group)?;
    let socket = case.folder().join("kubelet.sock");
    let pods = vec![
        gave("web", &spare.address, Some(CLAIM_NAME)),
        gave("unlucky", OF_THE_NODE, None),
        gave("late", &spare.address, None),
    ];
    let _kubelet = Kubelet::start(&socket, pods)?;
    let daemon = Daemon::start_with(case, Images::Shared, configured(&socket)?)?;

    // What kubelet gave can't always be given.
    let request = RunPodSandboxRequest {
        config: Some(named(&daemon, "unlucky")?),
        runtime_handler: String::new(),
    };
    let answer = daemon.call(async |mut client| client.run_pod_sandbox(request).await);
    let words = format!("{RESOURCE}={OF_THE_NODE} is bound to");
    expect_failure(answer, Code::FailedPrecondition, &words)?;

    let sandbox = daemon.run_configured(named(&daemon, "web")?, "")?;
    let taken = daemon.run_configured(named(&daemon, "late")?, "");
    let taken = format!("{:#}", taken.err().context("two pods have one device")?);
    let nodes = [&*group.to_string_lossy(), &spare.address].map(|node| taken.contains(node));
    ensure!(nodes.contains(&true), "{taken}");
    let container = ContainerConfig {
        devices: vec![Device {
            container_path: "/dev/given".to_owned(),
            host_path: group.to_string_lossy().into_owned(),
            permissions: "mrw".to_owned(),
        }],
        ..daemon.script("main", &format!("head -c {} /dev/given", KNOWN.len()))
    };
    let (code, said) = finish(&daemon, &sandbox, container)?;
    ensure!(code == 0, "{code}: {said}; log: {}", daemon.log());
    ensure!(said.as_bytes() == KNOWN, "it read {said:?}");
    Ok(daemon.remove_sandbox(&sandbox)?)
}

/// A sandbox that says nothing of devices, as kubelet's say nothing.
fn named(daemon: &Daemon<'_>, name: &str) -> Result<PodSandboxConfig> {
    let config = daemon.sandbox_config(name)?;
    let metadata = config.metadata.as_ref().context("a sandbox has a name")?;
    ensure!(metadata.namespace == NAMESPACE, "{metadata:?}");
    Ok(config)
}

fn configured(socket: &Path) -> Result<Table> {
    let socket = socket.display();
    let text = format!(
        "[vfio]\ndevices = ['*']\nresources = ['nvidia.com/*']\nkubelet_socket = '{socket}'"
    );
    Ok(text.parse()?)
}

const NAMESPACE: &str = "default";

/// A pod whose one container has a plugin's device, one of somebody else's, and a claim's, which is the same device.
fn gave(name: &str, address: &str, claim: Option<&str>) -> PodResources {
    let devices = |resource: &str, id: &str| ContainerDevices {
        resource_name: resource.to_owned(),
        device_ids: vec![id.to_owned()],
    };
    let claim = claim.map(|name| DynamicResource {
        claim_name: "gpu".to_owned(),
        claim_namespace: NAMESPACE.to_owned(),
        claim_resources: vec![ClaimResource {
            cdi_devices: vec![CdiDevice {
                name: format!("{CLAIM_KIND}={name}"),
            }],
            driver_name: "gpu.nvidia.com".to_owned(),
            pool_name: "node-7".to_owned(),
            device_name: "gpu-vfio-0".to_owned(),
        }],
    });
    PodResources {
        name: name.to_owned(),
        namespace: NAMESPACE.to_owned(),
        containers: vec![ContainerResources {
            name: "main".to_owned(),
            devices: vec![
                devices(RESOURCE, address),
                devices("example.com/fuse", "fuse-1"),
            ],
            dynamic_resources: claim.into_iter().collect(),
        }],
    }
}

/// What a DRA driver writes for a claim. It goes with the test.
struct CdiFile;

impl CdiFile {
    fn write(group: &Path) -> Result<Self> {
        let text = format!(
            "---\ncdiVersion: 0.3.0\nkind: {CLAIM_KIND}\ndevices:\n- name: \"{CLAIM_NAME}\"\n  containerEdits:\n    deviceNodes:\n    \
             - path: {}\n    - path: /dev/vfio/vfio\n",
            group.display()
        );
        let path = Path::new(CDI_FILE);
        let folder = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder).context("make the folder of CDI files")?;
        fs::write(path, text).context("write a CDI file")?;
        Ok(Self)
    }
}

impl Drop for CdiFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(CDI_FILE) {
            eprintln!("{CDI_FILE} stays: {error}");
        }
    }
}

/// A kubelet with these pods, on a thread of its own.
struct Kubelet {
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Kubelet {
    fn start(socket: &Path, pods: Vec<PodResources>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?;
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(socket).context("bind kubelet's socket")?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("kubelet".to_owned());
        let thread = thread.spawn(move || {
            let answers = PodResourcesListerServer::new(Answers { pods });
            let incoming = UnixListenerStream::new(listener);
            let end = async { stopped.await.unwrap_or_default() };
            let served = Server::builder().serve_with_incoming_shutdown(answers, incoming, end);
            runtime.block_on(served).context("serve as a kubelet")
        })?;
        Ok(Self {
            socket: socket.to_owned(),
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !matches!(ended, Some(Ok(Ok(())))) {
            eprintln!("the test's kubelet ended badly: {ended:?}");
        }
        drop(fs::remove_file(&self.socket));
    }
}

struct Answers {
    pods: Vec<PodResources>,
}

#[tonic::async_trait]
impl PodResourcesLister for Answers {
    async fn list(
        &self,
        _request: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        let pod_resources = self.pods.clone();
        Ok(Response::new(ListPodResourcesResponse { pod_resources }))
    }

    async fn get(
        &self,
        request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        let asked = request.into_inner();
        let mut pods = self.pods.iter();
        let pod = pods
            .find(|pod| pod.name == asked.pod_name && pod.namespace == asked.pod_namespace)
            .cloned();
        // As kubelet says it.
        let pod =
            pod.ok_or_else(|| Status::unknown(format!("pod {} not found", asked.pod_name)))?;
        let pod_resources = Some(pod);
        Ok(Response::new(GetPodResourcesResponse { pod_resources }))
    }
}
