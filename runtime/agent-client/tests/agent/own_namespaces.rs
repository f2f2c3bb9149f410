//! An agent as a pod on a node has it: in mount, IPC and UTS namespaces of its own, with paths of its host for volumes and a folder for writable layers.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use agent_client::{AgentError, ImageFile, MountSource, PodStart, Root, VolumeMount};
use model::Mount;

use crate::host::{DEADLINE, Host, Wanted, shell};

async fn own(layers: &Path) -> Option<Host> {
    let layers = layers.to_str().unwrap();
    Host::start_with(&["--own", "mounts,ipc,uts", "--layers", layers]).await
}

fn bind(path: &Path, destination: &str) -> VolumeMount {
    VolumeMount {
        source: MountSource::Host {
            path: path.to_owned(),
        },
        mount: Mount {
            destination: destination.to_owned(),
            read_only: false,
            recursive_read_only: false,
            receives_mounts: false,
            map_owners: false,
            shares_mounts: false,
        },
    }
}

fn with(script: &str, mounts: Vec<VolumeMount>) -> Wanted {
    Wanted {
        mounts,
        ..shell(script)
    }
}

#[tokio::test]
async fn paths_of_the_host_are_mounted_as_they_are() {
    let layers = tempfile::tempdir().unwrap();
    let Some(host) = own(layers.path()).await else {
        return;
    };
    let folder = host.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "of the host\n").unwrap();
    let _listener = UnixListener::bind(host.path("socket")).unwrap();
    let mut read_only = bind(&folder, "/ro");
    read_only.mount.read_only = true;
    let missing = host.path("missing/folder");
    let mounts = vec![
        bind(&folder, "/folder"),
        read_only,
        bind(&folder.join("file"), "/file"),
        bind(&host.path("socket"), "/socket"),
        bind(&missing, "/missing"),
    ];
    let script = "cat /file; echo new >/folder/new; cat /ro/new; touch /ro/x 2>/dev/null || echo no; \
                  test -S /socket && echo socket; touch /missing/made";
    let finished = host.run(with(script, mounts)).await;
    assert_eq!(finished.stdout, "of the host\nnew\nno\nsocket\n");
    assert_eq!(fs::read_to_string(folder.join("new")).unwrap(), "new\n");
    assert!(missing.join("made").exists());
    // What is mounted by the agent is not on this host, and the layer has gone with the container.
    assert_eq!(fs::read_dir(layers.path()).unwrap().count(), 0);
    host.stop().await;
}

#[tokio::test]
async fn writable_layer_is_in_its_folder() {
    let layers = tempfile::tempdir().unwrap();
    let Some(host) = own(layers.path()).await else {
        return;
    };
    let wait = "echo 12345 >/new; until [ -e /go ]; do sleep 0.1; done";
    host.create("one", shell(wait)).await.unwrap();
    let upper = layers.path().join("one/upper");
    let written = async {
        while !upper.join("new").exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, written).await.unwrap();
    let mode = fs::metadata(layers.path().join("one")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o700);
    let usage = host.agent.container_usage("one", DEADLINE).await.unwrap();
    assert!(usage.writable_bytes >= 4096, "{usage:?}");
    assert!(usage.writable_inodes >= 1, "{usage:?}");
    host.agent.remove_container("one", DEADLINE).await.unwrap();
    assert!(!layers.path().join("one").exists());
    host.assert_nothing_left("one");
    host.stop().await;
}

#[tokio::test]
async fn host_name_and_sysctls_are_the_pods_own() {
    let layers = tempfile::tempdir().unwrap();
    let Some(host) = own(layers.path()).await else {
        return;
    };
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let pod = |name: &str, value: &str| PodStart {
        pod_id: "p".into(),
        hostname: "of-the-pod".into(),
        sysctls: [(name.to_owned(), value.to_owned())].into(),
        ..PodStart::default()
    };
    let refused = host.agent.start_pod(pod("vm.swappiness", "1"), DEADLINE);
    let error = refused.await.unwrap_err();
    assert!(matches!(error, AgentError::Precondition { .. }), "{error}");
    let started = host.agent.start_pod(pod("kernel.msgmax", "4242"), DEADLINE);
    started.await.unwrap();
    let mut wanted = shell("hostname; cat /proc/sys/kernel/msgmax");
    let namespaces = wanted.spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "uts" && namespace["type"] != "ipc");
    wanted.spec.as_object_mut().unwrap().remove("hostname");
    let finished = host.run(wanted).await;
    assert_eq!(finished.stdout, "of-the-pod\n4242\n", "{finished:?}");
    let after = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(after, before);
    let msgmax = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    assert_ne!(msgmax.trim(), "4242");
    host.stop().await;
}

#[tokio::test]
async fn what_can_not_be_mounted_is_refused_and_leaves_nothing() {
    let layers = tempfile::tempdir().unwrap();
    let Some(host) = own(layers.path()).await else {
        return;
    };
    // The host of this test shares no mounts.
    let mut both = bind(layers.path(), "/v");
    both.mount.shares_mounts = true;
    let mut receives = bind(layers.path(), "/v");
    receives.mount.receives_mounts = true;
    for mount in [both, receives] {
        let error = host.create("one", with("true", vec![mount])).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the host does not share"), "{error}");
        host.assert_nothing_left("one");
    }
    let path = host.path("blob");
    fs::write(&path, [0; 4096]).unwrap();
    let wanted = shell("true");
    let files = vec![ImageFile {
        path: path.clone(),
        length_bytes: 4096,
    }];
    let error = host.create_from("one", Root::Files(files), wanted).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("mount the image"), "{error}");
    host.assert_nothing_left("one");
    let loops = fs::read_dir("/sys/block").unwrap().flatten();
    let files =
        loops.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    let left: Vec<_> = files
        .filter(|file| file.trim() == path.to_str().unwrap())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(fs::read_dir(layers.path()).unwrap().count(), 0);
    host.stop().await;
}

#[tokio::test]
async fn agent_without_mounts_of_its_own_mounts_no_path_of_the_host() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mounts = vec![bind(Path::new("/tmp"), "/v")];
    let error = host.create("one", with("true", mounts)).await.unwrap_err();
    assert!(matches!(error, AgentError::Invalid { .. }), "{error}");
    host.stop().await;
}
