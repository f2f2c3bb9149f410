//! Containers in the user namespace of their pod: who they are, whose their files are, and what is refused.

use agent_client::{
    AgentError, MountSource, PodStart, ProcessEnd, Stdio, TreeEntry, TreeKind, VolumeMount,
};
use model::{IdRange, Mount, UserNamespace};
use serde_json::{Value, json};

use crate::host::{DEADLINE, Finished, Host, Wanted, process, shell};

const FIRST: u32 = 100_000;
const LENGTH: u32 = 65_536;

fn range(guest: u32, length: u32) -> IdRange {
    IdRange {
        container: 0,
        guest,
        length,
    }
}

fn pod(uids: IdRange, gids: IdRange) -> PodStart {
    PodStart {
        pod_id: "p".into(),
        user_namespace: Some(UserNamespace { uids, gids }),
        ..PodStart::default()
    }
}

/// None, and a printed skip, where the file systems of this machine can't map owners.
async fn host() -> Option<Host> {
    let ids = range(FIRST, LENGTH);
    host_of(pod(ids, ids)).await
}

async fn host_of(pod: PodStart) -> Option<Host> {
    let host = Host::start().await?;
    host.agent.start_pod(pod, DEADLINE).await.unwrap();
    match host.create("probe", mapped("true")).await {
        Ok(_pid) => {
            host.agent
                .remove_container("probe", DEADLINE)
                .await
                .unwrap();
            Some(host)
        }
        Err(error) if error.to_string().contains("owners mapped") => {
            println!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn mapped(script: &str) -> Wanted {
    let mut wanted = shell(script);
    let linux = &mut wanted.spec["linux"];
    let list = linux["namespaces"].as_array_mut().unwrap();
    list.retain(|one| one["type"] != "ipc");
    list.push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": FIRST, "size": LENGTH}]);
    linux["uidMappings"] = mapping.clone();
    linux["gidMappings"] = mapping;
    wanted
}

/// The command of a container's first process may do these, too.
fn capable(mut wanted: Wanted, names: &[&str]) -> Wanted {
    for set in ["bounding", "effective", "permitted"] {
        let set = &mut wanted.spec["process"]["capabilities"][set];
        let set = set.as_array_mut().unwrap();
        set.extend(names.iter().map(|name| json!(name)));
    }
    wanted
}

async fn exec(host: &Host, name: &str, user: Value, script: &str) -> Finished {
    let mut process = process(&["/bin/sh", "-c", script]);
    process["user"] = user;
    let started = host.exec("c", name, process, Stdio::default()).await;
    started.unwrap();
    host.finish("c", name).await
}

const MAPS: &str = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '";
const BOTH: &str = " 0 100000 65536\n 0 100000 65536\n";

#[tokio::test]
async fn container_is_root_of_its_image_and_of_nothing_else() {
    let Some(host) = host().await else {
        return;
    };
    let script = format!(
        "{MAPS}; id -u; stat -c '%u %g' / /etc /bin/busybox /dev /dev/pts | sort -u; \
         mkdir /new; chown 7:8 /new; stat -c '%u %g' /new; \
         hostname changed && hostname; stat -c '%u %a %t' /dev/null; echo x >/dev/null && echo written; \
         mknod /null c 1 3 2>/dev/null || echo no node; cat /masked/secret 2>/dev/null; \
         echo 0 >/proc/sys/kernel/panic 2>/dev/null || echo read-only"
    );
    let names = ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_MKNOD"];
    let finished = host.run(capable(mapped(&script), &names)).await;
    let expect = format!("{BOTH}0\n0 0\n7 8\nchanged\n65534 666 1\nwritten\nno node\nread-only\n");
    assert_eq!(finished.stdout, expect, "{}", finished.stderr);
    assert_eq!(finished.end, ProcessEnd::Exited(0));
    host.stop().await;
}

#[tokio::test]
async fn exec_joins_and_is_who_it_is_to_be() {
    let Some(host) = host().await else {
        return;
    };
    let mut wanted = mapped("sleep 1000");
    wanted.spec["process"]["user"] = json!({"username": "user"});
    let told = host.first_process("c", wanted).await.unwrap().user.unwrap();
    assert_eq!((told.uid, told.gid), (7, 8));
    let script = format!(
        "{MAPS}; id -u; id -g; grep Groups: /proc/self/status | cut -f2; echo $HOME; \
         [ $(readlink /proc/self/ns/user) = $(readlink /proc/1/ns/user) ] && echo same; \
         grep CapEff /proc/self/status | cut -f2; echo again >/dev/stdout"
    );
    let user = json!({"uid": 7, "gid": 8, "additionalGids": [60]});
    let finished = exec(&host, "user", user, &script).await;
    let expect = format!("{BOTH}7\n8\n60 \n/user-home\nsame\n0000000000000000\nagain\n");
    assert_eq!(finished.stdout, expect, "{}", finished.stderr);
    let script = format!("{MAPS}; id -u; echo $HOME; grep CapEff /proc/self/status | cut -f2");
    let finished = exec(&host, "root", json!({"uid": 0, "gid": 0}), &script).await;
    // CAP_KILL and CAP_NET_BIND_SERVICE.
    let expect = format!("{BOTH}0\n/root-home\n0000000000000420\n");
    assert_eq!(finished.stdout, expect, "{}", finished.stderr);
    let mut unmapped = process(&["/bin/true"]);
    unmapped["user"] = json!({"uid": LENGTH, "gid": 0});
    let refused = host.exec("c", "far", unmapped, Stdio::default()).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("the user 65536 is not mapped"), "{text}");
    assert_eq!(host.exec_cgroups("c").len(), 0);
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn terminal_is_its_users() {
    let Some(host) = host().await else {
        return;
    };
    let terminal = Stdio {
        stdin: true,
        terminal: Some((80, 24)),
    };
    let script = "stat -L -c %u /proc/self/fd/0; echo again >$(tty)";
    let mut wanted = mapped(&format!("{script}; sleep 1000"));
    wanted.spec["process"]["user"] = json!({"uid": 7, "gid": 8});
    wanted.stdio = terminal;
    host.create("c", wanted).await.unwrap();
    let mut process = process(&["/bin/sh", "-c", script]);
    process["user"] = json!({"uid": 9, "gid": 8});
    host.exec("c", "t", process, terminal).await.unwrap();
    assert_eq!(host.finish("c", "t").await.stdout, "9\r\nagain\r\n");
    host.agent.signal_container("c", 9, DEADLINE).await.unwrap();
    assert_eq!(host.finish("c", "").await.stdout, "7\r\nagain\r\n");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn volumes_are_mapped_where_it_is_asked_for() {
    let Some(host) = host().await else {
        return;
    };
    let entry = |path: &str, uid, kind| TreeEntry {
        path: path.to_owned(),
        uid,
        gid: 9,
        kind,
    };
    let tree = vec![
        entry("", 0, TreeKind::Folder { mode: 0o755 }),
        entry(
            "file",
            5,
            TreeKind::File {
                mode: 0o600,
                content: b"content\n".to_vec(),
            },
        ),
    ];
    let id: model::VolumeId = "v".parse().unwrap();
    host.agent
        .write_volume(&id, tree, 0, DEADLINE)
        .await
        .unwrap();
    let mount = |sub_path: &str, destination: &str, map_owners| VolumeMount {
        source: MountSource::Volume {
            id: id.clone(),
            sub_path: sub_path.to_owned(),
            make_sub_path: false,
        },
        mount: Mount {
            destination: destination.to_owned(),
            read_only: false,
            recursive_read_only: false,
            receives_mounts: false,
            map_owners,
            shares_mounts: false,
        },
    };
    let script = "stat -c '%u %g' /mapped /mapped/file /alone /plain /plain/file; \
        cat /mapped/file /alone; cat /plain/file || echo no; echo new >/mapped/new; echo x >/plain/x || echo no";
    let mut wanted = capable(mapped(script), &["CAP_DAC_OVERRIDE"]);
    wanted.mounts = vec![
        mount("", "/mapped", true),
        mount("file", "/alone", true),
        mount("", "/plain", false),
    ];
    let finished = host.run(wanted).await;
    let expect = "0 9\n5 9\n5 9\n65534 65534\n65534 65534\ncontent\ncontent\nno\nno\n";
    assert_eq!(finished.stdout, expect, "{}", finished.stderr);
    // What its root has made is root's outside.
    let about = std::fs::metadata(host.volume("v").join("content/new")).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&about);
    assert_eq!(owner, 0);
    host.agent.remove_volume(&id, DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn containers_share_what_belongs_to_the_namespace() {
    let ids = range(FIRST, LENGTH);
    let pod = PodStart {
        share_pid_namespace: true,
        ..pod(ids, ids)
    };
    let Some(host) = host_of(pod).await else {
        return;
    };
    let sharing = |script: &str| {
        let mut wanted = mapped(script);
        wanted.share_pid_namespace = true;
        wanted
    };
    host.create("c", sharing("sleep 4714; true")).await.unwrap();
    let links = "for one in user ipc pid; do readlink /proc/self/ns/$one; done";
    let script = format!("{links}; ps | grep -c '[s]leep 4714$'; tr '\\0' ' ' </proc/1/cmdline");
    let finished = host.run(sharing(&script)).await;
    let root = json!({"uid": 0, "gid": 0});
    let other = exec(&host, "links", root, links).await.stdout;
    assert_eq!(other.lines().count(), 3, "{other}");
    let rest = finished.stdout.strip_prefix(&other);
    assert_eq!(rest, Some("1\n/proc/self/exe pause-init "), "{finished:?}");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn container_that_does_not_fit_its_pod_is_refused() {
    let Some(host) = host().await else {
        return;
    };
    let check = async |wanted: Wanted, words: &str| {
        let error = host.create("c", wanted).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        host.assert_nothing_left("c");
    };
    check(shell("true"), "the specification lists none").await;
    let mut other = mapped("true");
    other.spec["linux"]["gidMappings"][0]["size"] = json!(7);
    check(other, "are not those of the pod's user namespace").await;
    let with = |user: Value| {
        let mut wanted = mapped("true");
        wanted.spec["process"]["user"] = user;
        wanted
    };
    let far = with(json!({"uid": 0, "gid": LENGTH}));
    check(far, "the group 65536 is not mapped").await;
    let far = with(json!({"uid": 0, "gid": 0, "additionalGids": [1, 70_000]}));
    check(far, "the group 70000 is not mapped").await;
    let mut all = mapped("true");
    all.spec["annotations"] = json!({"cofferdam.agent.devices": "all"});
    check(all, "can't have all of the guest's devices").await;
    host.stop().await;
}

#[tokio::test]
async fn pod_that_cannot_be_mapped_is_refused() {
    let Some(host) = Host::start().await else {
        return;
    };
    let good = range(FIRST, LENGTH);
    for (uids, gids, words) in [
        (range(FIRST, 0), good, "uids 0 to 100000, 0 of them"),
        (good, range(u32::MAX, 1), "beyond the largest id"),
    ] {
        let refused = host.agent.start_pod(pod(uids, gids), DEADLINE).await;
        let Err(AgentError::Invalid { message }) = refused else {
            panic!("{refused:?}");
        };
        assert!(message.contains(words), "{message}");
    }
    let error = host.create("c", mapped("true")).await.unwrap_err();
    let words = "lists a user namespace, and the pod was started without one";
    assert!(error.to_string().contains(words), "{error}");
    host.assert_nothing_left("c");
    host.stop().await;
}
