//! What one container of a pod mounts in a volume, and which of its others see it.

use agent_client::{AgentError, TreeEntry, TreeKind, VolumeMount};

use crate::{
    host::{DEADLINE, Host, Wanted},
    volume::{config_map, id, mount, with},
};

/// Which mounts of others a container sees, and who sees its own.
#[derive(Clone, Copy)]
enum Propagates {
    Neither,
    ToIt,
    Both,
}

fn propagating(mut mount: VolumeMount, propagates: Propagates) -> VolumeMount {
    mount.mount.receives_mounts = matches!(propagates, Propagates::ToIt);
    mount.mount.shares_mounts = matches!(propagates, Propagates::Both);
    mount
}

/// A container that may mount, with the volume at /v.
fn mounter(script: &str, propagates: Propagates) -> Wanted {
    let mut wanted = with(script, vec![propagating(mount("v", "", "/v"), propagates)]);
    let sets = &mut wanted.spec["process"]["capabilities"];
    for set in ["bounding", "effective", "permitted"] {
        let set = sets[set].as_array_mut().unwrap();
        set.push("CAP_SYS_ADMIN".into());
    }
    wanted
}

async fn volume(host: &Host) {
    let folder = |path: &str| TreeEntry {
        path: path.to_owned(),
        uid: 0,
        gid: 0,
        kind: TreeKind::Folder { mode: 0o777 },
    };
    let tree = vec![folder(""), folder("in")];
    let volume = id("v");
    let written = host.agent.write_volume(&volume, tree, 1 << 20, DEADLINE);
    written.await.unwrap();
}

const MOUNT: &str = "mount -t tmpfs tmpfs /v/in && echo mounted >/v/in/file && cat /v/in/file";

#[tokio::test]
async fn mounts_reach_those_that_receive_them_and_stay_for_those_that_come() {
    let Some(host) = Host::start().await else {
        return;
    };
    volume(&host).await;
    // Begun before anybody shares.
    let waits = "until cat /v/in/file 2>/dev/null; do sleep 0.1; done; umount /v/in 2>/dev/null || echo kept";
    let follows = mounter(waits, Propagates::ToIt);
    host.create("follows", follows).await.unwrap();
    let apart = "until [ -e /v/go ]; do sleep 0.1; done; ls /v/in";
    let private = mounter(apart, Propagates::Neither);
    host.create("private", private).await.unwrap();
    // What ends leaves its mount.
    let finished = host.run(mounter(MOUNT, Propagates::Both)).await;
    assert_eq!(finished.stdout, "mounted\n", "{finished:?}");
    let finished = host.finish("follows", "").await;
    assert_eq!(finished.stdout, "mounted\n", "{finished:?}");
    let script = "cat /v/in/file; echo more >>/v/in/file; echo go >/v/go";
    let finished = host.run(mounter(script, Propagates::Neither)).await;
    assert_eq!(finished.stdout, "mounted\n", "{finished:?}");
    let finished = host.finish("private", "").await;
    assert_eq!(finished.stdout, "", "{finished:?}");
    // One that shares takes it away for all, and a folder below the volume is as good as the volume.
    let mut below = mounter("cat /v/file", Propagates::Both);
    below.mounts = vec![propagating(mount("v", "in", "/v"), Propagates::Both)];
    let finished = host.run(below).await;
    assert_eq!(finished.stdout, "mounted\nmore\n", "{finished:?}");
    let finished = host
        .run(mounter("umount /v/in; ls /v/in", Propagates::Both))
        .await;
    assert_eq!(finished.stdout, "", "{finished:?}");
    for id in ["follows", "private"] {
        host.agent.remove_container(id, DEADLINE).await.unwrap();
        host.assert_nothing_left(id);
    }
    let volume = id("v");
    host.agent.remove_volume(&volume, DEADLINE).await.unwrap();
    assert!(!host.volume("v").exists());
    host.stop().await;
}

#[tokio::test]
async fn volume_that_is_removed_stays_whole_for_who_has_it() {
    let Some(host) = Host::start().await else {
        return;
    };
    volume(&host).await;
    let script = format!("{MOUNT}; until [ -e /v/go ]; do sleep 0.1; done; cat /v/in/file");
    let keeps = mounter(&script, Propagates::Both);
    host.create("keeps", keeps).await.unwrap();
    let reads = "until [ -e /v/in/file ]; do sleep 0.1; done; echo go >/v/go; sleep 1000";
    host.create("reads", mounter(reads, Propagates::ToIt))
        .await
        .unwrap();
    let volume = id("v");
    host.agent.remove_volume(&volume, DEADLINE).await.unwrap();
    assert!(!host.volume("v").exists());
    let finished = host.finish("keeps", "").await;
    assert_eq!(finished.stdout, "mounted\nmounted\n", "{finished:?}");
    for id in ["keeps", "reads"] {
        host.agent.remove_container(id, DEADLINE).await.unwrap();
        host.assert_nothing_left(id);
    }
    host.stop().await;
}

#[tokio::test]
async fn volume_whose_tree_is_replaced_is_followed_and_takes_no_mounts() {
    let Some(host) = Host::start().await else {
        return;
    };
    let volume = id("v");
    let write = async |version, text| {
        let tree = config_map(version, "a", text);
        let written = host.agent.write_volume(&volume, tree, 0, DEADLINE);
        written.await.unwrap();
    };
    write("..1", "one").await;
    let script = "until [ \"$(cat /v/a)\" = two ]; do sleep 0.1; done; echo followed";
    let follows = mounter(script, Propagates::ToIt);
    host.create("follows", follows).await.unwrap();
    write("..2", "two").await;
    let finished = host.finish("follows", "").await;
    assert_eq!(finished.stdout, "followed\n", "{finished:?}");
    let shares = mounter("true", Propagates::Both);
    let error = host.create("one", shares).await.unwrap_err();
    assert!(matches!(error, AgentError::Precondition { .. }), "{error}");
    host.assert_nothing_left("one");
    host.agent
        .remove_container("follows", DEADLINE)
        .await
        .unwrap();
    host.stop().await;
}

#[tokio::test]
async fn mounts_can_not_be_both_received_and_shared() {
    let Some(host) = Host::start().await else {
        return;
    };
    volume(&host).await;
    let mut both = mounter("true", Propagates::Both);
    both.mounts[0].mount.receives_mounts = true;
    let error = host.create("one", both).await.unwrap_err();
    assert!(matches!(error, AgentError::Invalid { .. }), "{error}");
    host.assert_nothing_left("one");
    host.stop().await;
}
