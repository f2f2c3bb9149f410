//! Each kind of mount, from a request and what the host has.

use cri::v1::{IdMapping, ImageSpec, PodSandboxConfig};

use super::*;
use crate::host_mounts::Mounted;

const POD: &str = "/var/lib/kubelet/pods/u";

fn mount(container_path: &str, host_path: &str) -> Mount {
    Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_owned(),
        ..Mount::default()
    }
}

fn found(path: &str, kind: Kind) -> HostMount {
    HostMount {
        path: path.into(),
        kind,
        mounted: None,
    }
}

/// Its VM has 8 MiB of pages of 2 MiB.
fn sandbox(kind: PodKind) -> Sandbox {
    Sandbox {
        config: PodSandboxConfig::default(),
        handler: String::new(),
        ips: Vec::new(),
        kind,
        huge_pages: vec![PAGES],
    }
}

fn pod(sandbox: &Sandbox) -> Pod<'_> {
    Pod {
        sandbox,
        disk_template: Some(Path::new("/template")),
    }
}

const PAGES: HugePages = HugePages {
    page_bytes: 2 << 20,
    bytes: 8 << 20,
};

fn decide(mount: Mount, found: HostMount) -> Result<HostVolume, Refusal> {
    let config = ContainerConfig {
        mounts: vec![mount],
        ..ContainerConfig::default()
    };
    let mut planned = mounts(&config, vec![found], &pod(&sandbox(PodKind::Vm)))?;
    match planned.remove(0).source {
        PlannedSource::Host(volume) => Ok(volume),
        other => panic!("{other:?}"),
    }
}

fn check_refused(mounts: &[Mount], invalid: bool, words: &str) {
    let refusal = check_mounts(mounts, (PodKind::Vm, None)).unwrap_err();
    let is_invalid = matches!(refusal, Refusal::Invalid(_));
    assert_eq!(is_invalid, invalid, "{refusal:?}");
    assert!(refusal.to_string().contains(words), "{refusal}");
}

#[test]
fn mounts_that_can_never_be_right_are_invalid() {
    let check = |mount: Mount, words: &str| check_refused(&[mount], true, words);
    check_mounts(&[], (PodKind::Vm, None)).unwrap();
    check(mount("etc", "/etc"), "container_path is not");
    check(mount("/a/../etc", "/etc"), "has a ..");
    check(mount("/", "/etc"), "is the root");
    check(mount("/etc", "etc"), "host_path is not");
    let recursive = |readonly, propagation| Mount {
        recursive_read_only: true,
        readonly,
        propagation,
        ..mount("/a", "/b")
    };
    check(recursive(false, 0), "needs readonly");
    check(recursive(true, 1), "no propagation");
    check(recursive(true, 2), "no propagation");
    check_mounts(&[recursive(true, 0)], (PodKind::Vm, None)).unwrap();
    let image = |name: &str, sub_path: &str, readonly| Mount {
        image: Some(ImageSpec {
            image: name.to_owned(),
            ..ImageSpec::default()
        }),
        image_sub_path: sub_path.to_owned(),
        readonly,
        ..mount("/a", "")
    };
    check(image("i", "", false), "read-only");
    check(image("", "", true), "by its name");
    check(image("i", "/etc", true), "image_sub_path");
    check(image("i", "../etc", true), "image_sub_path");
    check_mounts(&[image("i", "etc/x", true)], (PodKind::Vm, None)).unwrap();
    // Also behind one that is only not possible.
    let bidirectional = Mount {
        propagation: 2,
        ..image("i", "", true)
    };
    check_refused(&[bidirectional.clone(), mount("c", "/d")], true, "\"c\"");
    check_refused(&[bidirectional], false, "BIDIRECTIONAL");
    let mapped = Mount {
        uid_mappings: vec![IdMapping::default()],
        gid_mappings: vec![IdMapping::default()],
        ..mount("/a", "/b")
    };
    check_refused(&[mapped], true, "no user namespace");
}

#[test]
fn special_files_are_refused_by_name() {
    let check = |kind, words: &str| {
        let mount = mount("/run/x", "/run/docker.sock");
        let refusal = decide(mount, found("/run/docker.sock", kind)).unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains(words), "{text}");
        assert!(
            text.contains("\"/run/docker.sock\" at \"/run/x\""),
            "{text}"
        );
    };
    check(Kind::Socket(SocketKind::Datagram), "SOCK_STREAM");
    check(Kind::Socket(SocketKind::SeqPacket), "SOCK_STREAM");
    check(Kind::Pipe, "a named pipe");
    let page_bytes = 2 << 20;
    check(Kind::HugePages { page_bytes }, "huge pages of the node");
    check(Kind::HugeFile, "huge pages of the node");
    check(Kind::CharacterDevice, "a device of the node");
    check(Kind::BlockDevice, "as a device");
}

#[test]
fn socket_for_streams_is_answered_by_the_node() {
    let path = "/run/x.sock";
    let socket = found(path, Kind::Socket(SocketKind::Stream));
    let decided = decide(mount("/run/y.sock", path), socket).unwrap();
    assert_eq!(decided, HostVolume::Socket { path: path.into() });
}

#[test]
fn files_of_the_kubelet_are_copied_and_others_shared() {
    let check = |at: &str, path: &str, expect: HostVolume| {
        let decided = decide(mount(at, path), found(path, Kind::File));
        assert_eq!(decided.unwrap(), expect);
    };
    let copy = |path: &str| HostVolume::Copy { path: path.into() };
    let hosts = format!("{POD}/etc-hosts");
    check("/etc/hosts", &hosts, copy(&hosts));
    let token = format!("{POD}/volumes/kubernetes.io~secret/s/..data/token");
    check("/token", &token, copy(&token));
    let log = format!("{POD}/containers/main/1a2b");
    let path = log.clone().into();
    check(TERMINATION_LOG, &log, HostVolume::WrittenBack { path });
    for path in ["/etc/hosts", "/a/pods/etc-hosts", &log] {
        let share = HostVolume::Share { path: path.into() };
        check("/etc/hosts", path, share);
    }
}

#[test]
fn termination_log_is_where_the_kubelet_says() {
    let mut config = ContainerConfig {
        mounts: vec![mount("/last", "/h/1"), mount(TERMINATION_LOG, "/h/2")],
        ..ContainerConfig::default()
    };
    let annotation = TERMINATION_LOG_ANNOTATION.to_owned();
    config.annotations.insert(annotation, "/last".to_owned());
    let both = vec![found("/h/1", Kind::File), found("/h/2", Kind::File)];
    let planned = mounts(&config, both.clone(), &pod(&sandbox(PodKind::Vm))).unwrap();
    let sources: Vec<_> = planned.into_iter().map(|mount| mount.source).collect();
    let written_back = HostVolume::WrittenBack {
        path: "/h/1".into(),
    };
    let share = HostVolume::Share {
        path: "/h/2".into(),
    };
    let expect = [written_back, share].map(PlannedSource::Host);
    assert_eq!(sources, expect);
    config.mounts[0].readonly = true;
    let planned = mounts(&config, both, &pod(&sandbox(PodKind::Vm))).unwrap();
    let path = "/h/1".into();
    let copy = PlannedSource::Host(HostVolume::Copy { path });
    assert_eq!(planned[0].source, copy);
}

#[test]
fn folders_are_followed_copied_made_of_memory_or_shared() {
    let check = |path: &str, data, mounted, expect: HostVolume| {
        let found = HostMount {
            mounted,
            ..found(path, Kind::Folder { data })
        };
        assert_eq!(decide(mount("/v", path), found).unwrap(), expect);
    };
    let tmpfs = |root: &str, whole: &str| {
        Some(Mounted {
            root: root.into(),
            whole: Some(whole.into()),
            tmpfs_bytes: Some(4096),
        })
    };
    let share = |path: &str| HostVolume::Share { path: path.into() };
    let secret = format!("{POD}/volumes/kubernetes.io~secret/s");
    let path = secret.clone().into();
    let files = HostVolume::Files { path };
    check(&secret, true, tmpfs("/", &secret), files);
    let sub = format!("{POD}/volume-subpaths/s/main/0");
    let path = sub.clone().into();
    let copy = HostVolume::Copy { path };
    check(&sub, false, tmpfs("/..1/dir", &secret), copy);
    let memory = format!("{POD}/volumes/kubernetes.io~empty-dir/m");
    let of = |sub_path: &str| HostVolume::Memory {
        path: memory.clone().into(),
        bytes: 4096,
        sub_path: sub_path.to_owned(),
    };
    check(&memory, false, tmpfs("/", &memory), of(""));
    check(&sub, false, tmpfs("/a/b", &memory), of("a/b"));
    // On the disk, and memory of the node that is not the pod's.
    check(&memory, false, None, share(&memory));
    check("/run", false, tmpfs("/", "/run"), share("/run"));
    let missing = decide(mount("/v", "/gone"), found("/gone", Kind::Missing));
    assert_eq!(missing.unwrap(), share("/gone"));
}

#[test]
fn empty_dirs_are_disks_where_the_sandbox_says_so() {
    let volumes = format!("{POD}/volumes/kubernetes.io~empty-dir");
    let mut sandbox = sandbox(PodKind::Vm);
    let key = storage::EMPTY_DIR_DISKS.to_owned();
    let annotation = "cache=1Mi".to_owned();
    sandbox.config.annotations.insert(key, annotation);
    let decide = |found: HostMount, pod: &Pod<'_>| -> Result<HostVolume, Refusal> {
        let config = ContainerConfig {
            mounts: vec![mount("/v", &found.path.to_string_lossy())],
            ..ContainerConfig::default()
        };
        let mut planned = mounts(&config, vec![found], pod)?;
        match planned.remove(0).source {
            PlannedSource::Host(volume) => Ok(volume),
            other => panic!("{other:?}"),
        }
    };
    let folder = |path: &str| found(path, Kind::Folder { data: false });
    let disk = |sub_path: &str| HostVolume::Disk {
        path: format!("{volumes}/cache").into(),
        template: "/template".into(),
        limit_bytes: Some(1 << 20),
        sub_path: sub_path.to_owned(),
    };
    let check = |found: HostMount, expect: HostVolume| {
        assert_eq!(decide(found, &pod(&sandbox)).unwrap(), expect);
    };
    check(folder(&format!("{volumes}/cache")), disk(""));
    check(folder(&format!("{volumes}/cache/a")), disk("a"));
    let bound = |root: &str, whole: &str| HostMount {
        mounted: Some(Mounted {
            root: root.into(),
            whole: Some(whole.into()),
            tmpfs_bytes: None,
        }),
        ..folder("/var/lib/kubelet/pods/u/volume-subpaths/cache/main/0")
    };
    let below = "/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/cache/a/b";
    check(bound(below, "/var"), disk("a/b"));
    let other = format!("{volumes}/other");
    let path = other.clone().into();
    check(folder(&other), HostVolume::Share { path });
    let path = PathBuf::from("/srv/cache");
    check(folder("/srv/cache"), HostVolume::Share { path });
    let without = Pod {
        disk_template: None,
        ..pod(&sandbox)
    };
    let refusal = decide(folder(&format!("{volumes}/cache")), &without).unwrap_err();
    assert!(
        refusal.to_string().contains("container.writable_layer"),
        "{refusal}"
    );
}

#[test]
fn huge_pages_are_those_that_the_vm_has_set_aside() {
    let huge = format!("{POD}/volumes/kubernetes.io~empty-dir/h");
    let at = |path: &str, root: &str, page_bytes| HostMount {
        mounted: Some(Mounted {
            root: root.into(),
            whole: Some(huge.clone().into()),
            tmpfs_bytes: None,
        }),
        ..found(path, Kind::HugePages { page_bytes })
    };
    let check = |path: &str, root: &str, sub_path: &str| {
        let decided = decide(mount("/v", path), at(path, root, PAGES.page_bytes));
        let expect = HostVolume::HugePages {
            path: huge.clone().into(),
            pages: PAGES,
            sub_path: sub_path.to_owned(),
        };
        assert_eq!(decided.unwrap(), expect);
    };
    check(&huge, "/", "");
    check(&format!("{POD}/volume-subpaths/h/main/0"), "/a/b", "a/b");
    let refusal = decide(mount("/v", &huge), at(&huge, "/", 1 << 30)).unwrap_err();
    let text = refusal.to_string();
    assert!(text.contains("no huge pages of 1GB aside"), "{text}");
    assert!(text.contains("hugepages-1Gi"), "{text}");
}

#[test]
fn mounts_of_a_vms_container_stay_in_what_is_the_pods_alone() {
    let both = |path: &str| Mount {
        propagation: MountPropagation::PropagationBidirectional.into(),
        ..mount("/v", path)
    };
    let folder = |path: &str| found(path, Kind::Folder { data: false });
    let empty_dir = format!("{POD}/volumes/kubernetes.io~empty-dir/e");
    let path = empty_dir.clone().into();
    let decided = decide(both(&empty_dir), folder(&empty_dir));
    assert_eq!(decided.unwrap(), HostVolume::Own { path });
    let sub = format!("{POD}/volume-subpaths/e/main/0");
    let of_empty_dir = HostMount {
        mounted: Some(Mounted {
            root: format!("{empty_dir}/sub").into(),
            whole: Some("/".into()),
            tmpfs_bytes: None,
        }),
        ..folder(&sub)
    };
    assert!(decide(both(&sub), of_empty_dir).is_ok());
    let claim = format!("{POD}/volumes/kubernetes.io~csi/c/mount");
    for path in ["/var/lib/kubelet", &claim, &sub] {
        let refusal = decide(both(path), folder(path)).unwrap_err();
        assert!(matches!(refusal, Refusal::Unimplemented(_)), "{refusal:?}");
        assert!(refusal.to_string().contains("BIDIRECTIONAL"), "{refusal}");
    }
    let ids = model::IdRange {
        container: 0,
        guest: 100_000,
        length: 65_536,
    };
    let user = UserNamespace {
        uids: ids,
        gids: ids,
    };
    let mounts = [both(&empty_dir)];
    let refusal = check_mounts(&mounts, (PodKind::Vm, Some(&user))).unwrap_err();
    assert!(refusal.to_string().contains("hostUsers"), "{refusal}");
}

#[test]
fn outer_mounts_come_first_and_flags_are_kept() {
    let config = ContainerConfig {
        mounts: vec![
            Mount {
                propagation: MountPropagation::PropagationHostToContainer.into(),
                readonly: true,
                ..mount("/a/b", "/1")
            },
            Mount {
                uid_mappings: vec![IdMapping::default()],
                gid_mappings: vec![IdMapping::default()],
                ..mount("/c", "/2")
            },
            mount("/a", "/3"),
        ],
        ..ContainerConfig::default()
    };
    let all = ["/1", "/2", "/3"].map(|path| found(path, Kind::Folder { data: true }));
    let planned = mounts(&config, all.to_vec(), &pod(&sandbox(PodKind::Vm))).unwrap();
    let shown: Vec<_> = planned
        .iter()
        .map(|planned| {
            let mount = &planned.mount;
            (
                mount.destination.as_str(),
                mount.read_only,
                mount.receives_mounts,
                mount.map_owners,
            )
        })
        .collect();
    let expect = [
        ("/c", false, false, true),
        ("/a", false, false, false),
        ("/a/b", true, true, false),
    ];
    assert_eq!(shown, expect);
}

#[test]
fn container_on_the_node_has_what_is_there_itself() {
    let check = |kind| {
        let config = ContainerConfig {
            mounts: vec![Mount {
                propagation: MountPropagation::PropagationBidirectional.into(),
                ..mount("/v", "/h")
            }],
            ..ContainerConfig::default()
        };
        check_mounts(&config.mounts, (PodKind::Host, None)).unwrap();
        let planned = mounts(
            &config,
            vec![found("/h", kind)],
            &pod(&sandbox(PodKind::Host)),
        )
        .unwrap();
        let path = "/h".into();
        let bind = PlannedSource::Host(HostVolume::Bind { path });
        assert_eq!(planned[0].source, bind);
        let mount = &planned[0].mount;
        assert!(mount.shares_mounts && !mount.receives_mounts);
    };
    check(Kind::Socket(SocketKind::Datagram));
    check(Kind::CharacterDevice);
    check(Kind::HugeFile);
    check(Kind::File);
    check(Kind::Folder { data: true });
    check(Kind::Missing);
}
