//! A kubelet of the test's own on a unix socket: recorded answers, older kubelets, one that is late, one that is broken.

mod plugins;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use ::pod_resources::v1::{
    CdiDevice, ClaimResource, ContainerDevices, ContainerResources, DynamicResource,
    GetPodResourcesResponse, ListPodResourcesResponse,
    pod_resources_lister_server::{PodResourcesLister, PodResourcesListerServer},
};
use tempfile::TempDir;
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, transport::Server};

use super::*;
use crate::{
    cdi::Cdi,
    find::Finder,
    recorded::{Recorded, gpu},
};

/// How a kubelet behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Kubernetes 1.34 and newer.
    WithGet,
    /// Get is switched off, as kubelet says it.
    GetDisabled,
    /// From before Get.
    ListOnly,
    /// From before both.
    Neither,
    /// Refuses this many calls, then answers.
    Busy(u32),
    /// Takes a call and never answers.
    Silent,
}

#[derive(Debug, Clone)]
struct Kubelet {
    kind: Kind,
    pods: Vec<PodResources>,
    calls: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl PodResourcesLister for Kubelet {
    async fn list(
        &self,
        _request: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        if self.kind == Kind::Neither {
            return Err(Status::unimplemented("unknown method List"));
        }
        let pod_resources = self.pods.clone();
        Ok(Response::new(ListPodResourcesResponse { pod_resources }))
    }

    async fn get(
        &self,
        request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.kind {
            Kind::GetDisabled => {
                return Err(Status::unknown("PodResources API Get method disabled"));
            }
            Kind::ListOnly | Kind::Neither => {
                return Err(Status::unimplemented("unknown method Get"));
            }
            Kind::Busy(calls) if call < calls => {
                return Err(Status::resource_exhausted("rejected by rate limit"));
            }
            Kind::Silent => std::future::pending().await,
            Kind::WithGet | Kind::Busy(_) => {}
        }
        let GetPodResourcesRequest {
            pod_name,
            pod_namespace,
        } = request.into_inner();
        let pod = self
            .pods
            .iter()
            .find(|pod| pod.name == pod_name && pod.namespace == pod_namespace);
        let pod = pod.ok_or_else(|| Status::unknown(format!("pod {pod_name} not found")))?;
        let pod_resources = Some(pod.clone());
        Ok(Response::new(GetPodResourcesResponse { pod_resources }))
    }
}

struct Running {
    root: TempDir,
    calls: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn socket(&self) -> PathBuf {
        self.root.path().join("kubelet.sock")
    }

    fn start(kind: Kind) -> Self {
        Self::serve(kind, vec![other_pod(), gpu_pod()])
    }

    fn serve(kind: Kind, pods: Vec<PodResources>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let calls = Arc::new(AtomicU32::new(0));
        let kubelet = Kubelet {
            kind,
            pods,
            calls: Arc::clone(&calls),
        };
        let listener = UnixListener::bind(root.path().join("kubelet.sock")).unwrap();
        let task = tokio::spawn(async move {
            let incoming = UnixListenerStream::new(listener);
            let service = PodResourcesListerServer::new(kubelet);
            let serving = Server::builder().serve_with_incoming(service, incoming);
            serving.await.unwrap();
        });
        Self { root, calls, task }
    }
}

fn devices(resource: &str, ids: &[&str]) -> ContainerDevices {
    ContainerDevices {
        resource_name: resource.to_owned(),
        device_ids: ids.iter().map(|&id| id.to_owned()).collect(),
    }
}

fn claim(name: &str, cdi: &str) -> DynamicResource {
    let cdi_devices = vec![CdiDevice {
        name: cdi.to_owned(),
    }];
    DynamicResource {
        claim_name: name.to_owned(),
        claim_namespace: "default".to_owned(),
        claim_resources: vec![ClaimResource {
            cdi_devices,
            ..ClaimResource::default()
        }],
    }
}

/// One container with two of a plugin's, listed by NUMA node, and a device of another's; one with a claim.
fn gpu_pod() -> PodResources {
    PodResources {
        name: "train".to_owned(),
        namespace: "default".to_owned(),
        containers: vec![
            ContainerResources {
                name: "a".to_owned(),
                devices: vec![
                    devices("nvidia.com/pgpu", &["8"]),
                    devices("nvidia.com/pgpu", &["12"]),
                    devices("example.com/fuse", &["fuse-1"]),
                ],
                dynamic_resources: Vec::new(),
            },
            ContainerResources {
                name: "b".to_owned(),
                devices: Vec::new(),
                dynamic_resources: vec![claim("gpu", "k8s.gpu.nvidia.com/claim=1f-gpu0")],
            },
        ],
    }
}

/// Of the same name, in another namespace.
fn other_pod() -> PodResources {
    PodResources {
        namespace: "kube-system".to_owned(),
        containers: Vec::new(),
        ..gpu_pod()
    }
}

fn pod(namespace: &str, name: &str) -> PodName {
    PodName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn patient() -> Deadlines {
    Deadlines {
        again: Duration::from_millis(1),
        ..Deadlines::scaled(10)
    }
}

async fn check_whole(kind: Kind) {
    let kubelet = Running::start(kind);
    let wanted = wanted(&kubelet.socket(), &pod("default", "train"), patient())
        .await
        .unwrap();
    let plugin = |id: &str| Name::Plugin {
        resource: "nvidia.com/pgpu".to_owned(),
        id: id.to_owned(),
    };
    let fuse = Name::Plugin {
        resource: "example.com/fuse".to_owned(),
        id: "fuse-1".to_owned(),
    };
    let claim = Name::Claim("k8s.gpu.nvidia.com/claim=1f-gpu0".to_owned());
    let expect = [
        ("a", plugin("8")),
        ("a", plugin("12")),
        ("a", fuse),
        ("b", claim),
    ];
    let expect = expect.map(|(container, name)| Wanted {
        container: container.to_owned(),
        name,
    });
    assert_eq!(wanted, expect, "{kind:?}");
}

async fn check_nothing(kind: Kind, pod: PodName) {
    let kubelet = Running::start(kind);
    let wanted = wanted(&kubelet.socket(), &pod, patient()).await.unwrap();
    assert_eq!(wanted, [], "{kind:?}");
}

#[tokio::test]
async fn devices_of_plugins_and_claims_come_from_kubelets_old_and_new() {
    for kind in [
        Kind::WithGet,
        Kind::GetDisabled,
        Kind::ListOnly,
        Kind::Busy(2),
    ] {
        check_whole(kind).await;
    }
}

#[tokio::test]
async fn pod_that_kubelet_does_not_know_has_none() {
    for kind in [Kind::WithGet, Kind::GetDisabled, Kind::ListOnly] {
        check_nothing(kind, pod("default", "made-by-crictl")).await;
    }
    check_nothing(Kind::WithGet, pod("kube-system", "train")).await;
}

#[tokio::test]
async fn kubelet_that_has_no_such_api_or_is_not_there_gives_none() {
    check_nothing(Kind::Neither, pod("default", "train")).await;
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("kubelet.sock");
    let wanted = wanted(&socket, &pod("default", "train"), patient())
        .await
        .unwrap();
    assert_eq!(wanted, []);
}

#[tokio::test]
async fn kubelet_that_refuses_three_times_is_an_error_with_its_words() {
    let kubelet = Running::start(Kind::Busy(9));
    let error = wanted(&kubelet.socket(), &pod("default", "train"), patient())
        .await
        .unwrap_err();
    let text = model::chain(&error);
    assert!(
        text.contains("for the devices of pod default/train, 3 times: is kubelet up"),
        "{text}"
    );
    assert!(
        text.ends_with("kubelet said ResourceExhausted: rejected by rate limit"),
        "{text}"
    );
    assert_eq!(error.fault(), Fault::HostUnfit);
    assert_eq!(kubelet.calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn kubelet_that_does_not_answer_is_given_up_after_three_deadlines() {
    let kubelet = Running::start(Kind::Silent);
    let short = Duration::from_millis(300);
    let deadlines = Deadlines {
        kubelet: short,
        again: Duration::from_millis(1),
    };
    let error = wanted(&kubelet.socket(), &pod("default", "train"), deadlines)
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::DeadlineExceeded);
    let text = model::chain(&error);
    assert!(text.ends_with("no answer within 300ms"), "{text}");
}

#[tokio::test]
async fn socket_of_a_kubelet_that_is_gone_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("kubelet.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let error = wanted(&socket, &pod("default", "train"), patient())
        .await
        .unwrap_err();
    let text = model::chain(&error);
    assert!(
        text.contains("is kubelet up, and does this program run as root?: connect"),
        "{text}"
    );
}

/// The sandbox device plugin of NVIDIA by group, KubeVirt's by address, a DRA driver by claim: each as its plugin answers.
#[tokio::test]
async fn answers_of_three_plugins_lead_to_their_functions() {
    let tree = Recorded::with(&[
        gpu("0000:41:00.0", 8, "vfio3"),
        gpu("0000:c1:00.0", 12, "vfio5"),
        gpu("0000:61:00.0", 20, "vfio7"),
        gpu("0000:81:00.0", 21, "vfio9"),
    ]);
    tree.write(
        "cdi/nvidia.yaml",
        "cdiVersion: 0.5.0\nkind: nvidia.com/pgpu\ndevices:\n- name: \"8\"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/vfio/8\n\
         - name: \"12\"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/vfio/12\ncontainerEdits:\n  deviceNodes:\n  - path: /dev/vfio/vfio\n",
    );
    tree.write(
        "cdi/claim.json",
        "{\"cdiVersion\": \"1.0.0\", \"kind\": \"k8s.gpu.nvidia.com/claim\", \"devices\": [{\"name\": \"1f-gpu0\", \
         \"containerEdits\": {\"deviceNodes\": [{\"path\": \"/dev/vfio/devices/vfio7\"}]}}]}",
    );
    let mut pod_of_all = gpu_pod();
    let second = pod_of_all.containers.get_mut(1).unwrap();
    second
        .devices
        .push(devices("nvidia.com/GB202_GEFORCE", &["0000:81:00.0"]));
    let kubelet = Running::serve(Kind::WithGet, vec![pod_of_all]);
    let wanted = wanted(&kubelet.socket(), &pod("default", "train"), patient())
        .await
        .unwrap();
    let host = tree.host();
    let cdi = Cdi::load(&[tree.path("cdi")]);
    let finder = Finder {
        host: &host,
        cdi: &cdi,
        resources: &[],
    };
    let findings = finder.find(&wanted).unwrap();
    let found: Vec<_> = findings
        .functions
        .iter()
        .map(|found| {
            let containers: Vec<_> = found.containers.iter().map(String::as_str).collect();
            (found.address.to_string(), containers.join(","))
        })
        .collect();
    let expect = [
        ("0000:41:00.0", "a"),
        ("0000:c1:00.0", "a"),
        ("0000:81:00.0", "b"),
        ("0000:61:00.0", "b"),
    ];
    assert_eq!(
        found,
        expect.map(|(address, by)| (address.to_owned(), by.to_owned()))
    );
    assert_eq!(
        findings.ignored.first().unwrap().name,
        "example.com/fuse=fuse-1"
    );
}

#[test]
fn waits_are_two_seconds_a_try_stretched_by_one_factor() {
    assert_eq!(Deadlines::scaled(1).kubelet, Duration::from_secs(2));
    assert_eq!(Deadlines::scaled(10).kubelet, Duration::from_secs(20));
}
