//! What three plugins answer, field by field, and the functions that it leads to: from kubelet's word when the sandbox is made, and from the
//! nodes of a container later.
//!
//! The shapes are those of the plugins' own sources. NVIDIA/sandbox-device-plugin, `Allocate` and `GenerateCDISpec` in pkg/device_plugin: an
//! ID is the number of a group, or where there is a /dev/iommu that of a cdev; one or two nodes, and a CDI file of version 0.5.0.
//! NVIDIA/kubevirt-gpu-device-plugin, `Allocate` in pkg/device_plugin/generic_device_plugin.go: an ID is a PCI address; nodes of all functions
//! of the group; no CDI file. NVIDIA/k8s-dra-driver-gpu, cmd/gpu-kubelet-plugin (`CreateClaimSpecFile`, `GetVfioCDIContainerEdits`): a CDI
//! name of the claim's uid and the device's name, and a file for each claim.

use super::*;
use crate::{find::Findings, recorded::Slot};

const AUDIO: u32 = 0x040300;
const CLAIM: &str = "k8s.gpu.nvidia.com/claim=c2f1a6d4-0d3e-4b5c-9a53-0a5c4a6b7d11-gpu-vfio-0";

/// A host with three GPUs, the second with its audio function beside it.
fn host() -> Recorded {
    Recorded::with(&[
        gpu("0000:41:00.0", 8, "vfio3"),
        gpu("0000:c1:00.0", 12, "vfio5"),
        Slot {
            class: AUDIO,
            ..gpu("0000:c1:00.1", 12, "vfio6")
        },
        gpu("0000:61:00.0", 20, "vfio7"),
    ])
}

/// A CDI file of one device, as YAML, which is what the plugins' library writes.
fn cdi_file(version: &str, kind: &str, name: &str, nodes: &[&str]) -> String {
    let nodes: Vec<_> = nodes
        .iter()
        .map(|path| format!("    - path: {path}\n"))
        .collect();
    let nodes = nodes.concat();
    format!(
        "---\ncdiVersion: {version}\nkind: {kind}\ndevices:\n- name: \"{name}\"\n  containerEdits:\n    deviceNodes:\n{nodes}"
    )
}

/// A pod with one container that has this.
fn pod_with(devices: Vec<ContainerDevices>, claims: Vec<DynamicResource>) -> PodResources {
    PodResources {
        name: "train".to_owned(),
        namespace: "default".to_owned(),
        containers: vec![ContainerResources {
            name: "main".to_owned(),
            devices,
            dynamic_resources: claims,
        }],
    }
}

fn found(tree: &Recorded, wanted: &[Wanted]) -> Vec<String> {
    let host = tree.host();
    let cdi = Cdi::load(&[tree.path("cdi")]);
    let finder = Finder {
        host: &host,
        cdi: &cdi,
        resources: &[],
    };
    let Findings { functions, ignored } = finder.find(wanted).unwrap();
    assert!(
        ignored
            .iter()
            .all(|name| ["/dev/vfio/vfio", "/dev/iommu"].contains(&name.name.as_str())),
        "{ignored:?}"
    );
    let named = functions.iter().map(|found| found.address.to_string());
    named.collect()
}

/// Kubelets with Get and without it: the functions that the pod's answer leads to, and those of the nodes in the plugin's own answer.
async fn check(tree: &Recorded, pod_resources: PodResources, nodes: &[&str], expect: [&[&str]; 2]) {
    let [by_kubelet, by_nodes] = expect;
    for kind in [Kind::WithGet, Kind::GetDisabled, Kind::ListOnly] {
        let kubelet = Running::serve(kind, vec![other_pod(), pod_resources.clone()]);
        let wanted = wanted(&kubelet.socket(), &pod("default", "train"), patient())
            .await
            .unwrap();
        assert_eq!(found(tree, &wanted), by_kubelet, "{kind:?}");
    }
    let nodes = nodes.iter().map(|path| Wanted {
        container: "main".to_owned(),
        name: Name::Node((*path).to_owned()),
    });
    let nodes: Vec<_> = nodes.collect();
    assert_eq!(found(tree, &nodes), by_nodes, "by its nodes");
}

#[tokio::test]
async fn sandbox_plugin_by_group() {
    let tree = host();
    let nodes = ["/dev/vfio/vfio", "/dev/vfio/8"];
    tree.write(
        "cdi/nvidia.com-pgpu.yaml",
        cdi_file("0.5.0", "nvidia.com/pgpu", "8", &nodes),
    );
    let pod = pod_with(vec![devices("nvidia.com/pgpu", &["8"])], Vec::new());
    let expect: &[&str] = &["0000:41:00.0"];
    check(&tree, pod, &nodes, [expect, expect]).await;
}

#[tokio::test]
async fn sandbox_plugin_by_cdev() {
    let tree = host();
    // The node of the whole of iommufd is not in the answer.
    let nodes = ["/dev/vfio/devices/vfio3"];
    tree.write(
        "cdi/nvidia.com-pgpu.yaml",
        cdi_file("0.5.0", "nvidia.com/pgpu", "3", &nodes),
    );
    let pod = pod_with(vec![devices("nvidia.com/pgpu", &["3"])], Vec::new());
    let expect: &[&str] = &["0000:41:00.0"];
    check(&tree, pod, &nodes, [expect, expect]).await;
}

#[tokio::test]
async fn kubevirt_plugin_by_address() {
    let tree = host();
    let pod = pod_with(
        vec![devices("nvidia.com/GB202_GEFORCE", &["0000:c1:00.0"])],
        Vec::new(),
    );
    // The container's nodes stand for the audio function, too: they are of its group.
    let both: &[&str] = &["0000:c1:00.0", "0000:c1:00.1"];
    let by_group = ["/dev/vfio/vfio", "/dev/vfio/12"];
    check(&tree, pod.clone(), &by_group, [&["0000:c1:00.0"], both]).await;
    let by_cdev = [
        "/dev/vfio/devices/vfio5",
        "/dev/vfio/devices/vfio6",
        "/dev/vfio/vfio",
        "/dev/vfio/12",
        "/dev/iommu",
    ];
    check(&tree, pod, &by_cdev, [&["0000:c1:00.0"], both]).await;
}

#[tokio::test]
async fn dra_driver_by_claim() {
    let claimed = DynamicResource {
        claim_name: "train-gpu-x7k2p".to_owned(),
        claim_namespace: "default".to_owned(),
        claim_resources: vec![ClaimResource {
            cdi_devices: vec![CdiDevice {
                name: CLAIM.to_owned(),
            }],
            driver_name: "gpu.nvidia.com".to_owned(),
            pool_name: "node-7".to_owned(),
            device_name: "gpu-vfio-0".to_owned(),
        }],
    };
    let pod = pod_with(Vec::new(), vec![claimed]);
    let (kind, name) = CLAIM.split_once('=').unwrap();
    let expect: &[&str] = &["0000:61:00.0"];
    let by_group: &[&str] = &["/dev/vfio/20", "/dev/vfio/vfio"];
    let by_cdev: &[&str] = &["/dev/vfio/devices/vfio7", "/dev/iommu"];
    for nodes in [by_group, by_cdev] {
        let tree = host();
        let file = cdi_file("0.3.0", kind, name, nodes);
        tree.write("cdi/k8s.gpu.nvidia.com-claim_c2f1a6d4.yaml", file);
        check(&tree, pod.clone(), nodes, [expect, expect]).await;
    }
}
