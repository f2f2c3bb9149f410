//! Volumes: trees that become one, what containers see of them, and what is refused.

use agent_client::{AgentError, MountSource, TreeEntry, TreeKind, VolumeMount};
use model::{Mount, VolumeId};

use crate::host::{DEADLINE, Host, Wanted, shell};

pub(crate) fn id(text: &str) -> VolumeId {
    text.parse().unwrap()
}

fn entry(path: &str, kind: TreeKind) -> TreeEntry {
    TreeEntry {
        path: path.to_owned(),
        uid: 1000,
        gid: 2000,
        kind,
    }
}

fn folder(path: &str, mode: u32) -> TreeEntry {
    entry(path, TreeKind::Folder { mode })
}

fn file(path: &str, mode: u32, content: &[u8]) -> TreeEntry {
    let content = content.to_vec();
    entry(path, TreeKind::File { mode, content })
}

fn link(path: &str, target: &str) -> TreeEntry {
    let target = target.to_owned();
    entry(path, TreeKind::Link { target })
}

pub(crate) fn mount(volume: &str, sub_path: &str, destination: &str) -> VolumeMount {
    VolumeMount {
        source: MountSource::Volume {
            id: id(volume),
            sub_path: sub_path.to_owned(),
            make_sub_path: false,
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

fn read_only(mut mount: VolumeMount) -> VolumeMount {
    mount.mount.read_only = true;
    mount
}

/// As root that may read and write what is others'.
pub(crate) fn with(script: &str, mounts: Vec<VolumeMount>) -> Wanted {
    let mut wanted = Wanted {
        mounts,
        ..shell(script)
    };
    let sets = &mut wanted.spec["process"]["capabilities"];
    for set in ["bounding", "effective", "permitted"] {
        let set = sets[set].as_array_mut().unwrap();
        set.push("CAP_DAC_OVERRIDE".into());
    }
    wanted
}

/// As the kubelet has a ConfigMap: `name` in it says `text`.
pub(crate) fn config_map(version: &str, name: &str, text: &str) -> Vec<TreeEntry> {
    vec![
        folder("", 0o2775),
        folder(version, 0o755),
        file(&format!("{version}/{name}"), 0o640, text.as_bytes()),
        link("..data", version),
        link(name, &format!("..data/{name}")),
    ]
}

impl Host {
    async fn write(&self, volume: &str, tree: Vec<TreeEntry>) -> Result<(), AgentError> {
        self.write_sized(volume, tree, 0).await
    }

    async fn write_sized(
        &self,
        volume: &str,
        tree: Vec<TreeEntry>,
        bytes: u64,
    ) -> Result<(), AgentError> {
        let id = id(volume);
        self.agent.write_volume(&id, tree, bytes, DEADLINE).await
    }

    async fn refused(&self, tree: Vec<TreeEntry>, words: &str) {
        let error = self.write("refused", tree).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        let run = with("true", vec![mount("refused", "", "/v")]);
        let error = self.create("c", run).await.unwrap_err();
        assert_eq!(error.to_string(), "no volume refused");
    }
}

#[tokio::test]
async fn container_sees_the_tree_with_its_modes_owners_and_links() {
    let Some(host) = Host::start().await else {
        return;
    };
    let large = vec![b'7'; (5 << 20) + 11];
    let tree = vec![
        folder("", 0o2775),
        folder("a", 0o750),
        file("a/large", 0o400, &large),
        file("small", 0o6640, b"secret\n"),
        link("to", "a/../small"),
    ];
    host.write("v", tree).await.unwrap();
    let script = "cd /data; stat -c '%n %a %u %g' . a a/large small; readlink to; cat to; wc -c <a/large; \
                  tr -d 7 <a/large | wc -c; echo x >new; echo y >>/only && cat /only; echo z >/ro/z || echo no";
    let mounts = vec![
        mount("v", "", "/data"),
        mount("v", "small", "/only"),
        read_only(mount("v", "a", "/ro")),
    ];
    let finished = host.run(with(script, mounts)).await;
    let expect = format!(
        ". 2775 1000 2000\na 750 1000 2000\na/large 400 1000 2000\nsmall 6640 1000 2000\na/../small\nsecret\n{}\n0\nsecret\ny\nno\n",
        large.len()
    );
    assert_eq!(finished.stdout, expect, "{}", finished.stderr);
    // Another one sees what the first one wrote; what ends is gone from the container's folder and not from the volume.
    let second = host
        .run(with("ls /d; cat /d/small", vec![mount("v", "", "/d")]))
        .await;
    assert_eq!(second.stdout, "a\nnew\nsmall\nto\nsecret\ny\n");
    let volume = id("v");
    let tail = host.agent.read_volume_file(&volume, "small", 4, DEADLINE);
    assert_eq!(tail.await.unwrap(), b"t\ny\n");
    for _twice in 0..2 {
        host.agent.remove_volume(&id("v"), DEADLINE).await.unwrap();
    }
    assert!(!host.volume("v").exists());
    host.stop().await;
}

#[tokio::test]
async fn tree_with_data_is_swapped_under_a_reader() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.write("v", config_map("..1", "a", "one"))
        .await
        .unwrap();
    // Reads until it sees the last one; a torn or missing file would be said.
    let script = "until [ \"$now\" = last ]; do now=$(cat /v/b 2>/dev/null || cat /v/a 2>/dev/null || cat /v/b) || exit 1; \
                  case $now in one|last|two*) ;; *) echo \"torn: $now\"; exit 1;; esac; done; ls -A /v; stat -c '%a %u %g' /v/..data/b";
    let run = with(script, vec![read_only(mount("v", "", "/v"))]);
    host.create("c", run).await.unwrap();
    for number in 2..40 {
        let version = format!("..{number}");
        let tree = config_map(&version, "a", &format!("two{number}"));
        host.write("v", tree.clone()).await.unwrap();
        // The same once more changes nothing.
        host.write("v", tree).await.unwrap();
    }
    host.write("v", config_map("..last", "b", "last"))
        .await
        .unwrap();
    let finished = host.finish("c", "").await;
    assert_eq!(finished.stdout, "..data\n..last\nb\n640 1000 2000\n");
    host.agent.remove_container("c", DEADLINE).await.unwrap();
    host.assert_nothing_left("c");
    host.stop().await;
}

#[tokio::test]
async fn memory_is_shared_limited_and_filled_once() {
    let Some(host) = Host::start().await else {
        return;
    };
    let tree = || vec![folder("", 0o1777), file("seed", 0o644, b"1\n")];
    host.write_sized("m", tree(), 1 << 20).await.unwrap();
    let mut deep = mount("m", "x/y", "/deep");
    if let MountSource::Volume { make_sub_path, .. } = &mut deep.source {
        *make_sub_path = true;
    }
    let script = "echo 2 >>/m/seed; touch /deep/f; stat -c %a /deep; busybox dd if=/dev/zero of=/m/much bs=65536 count=32 || du -k /m/much | cut -f1";
    let first = host
        .run(with(script, vec![mount("m", "", "/m"), deep]))
        .await;
    assert!(
        first.stderr.contains("No space left on device"),
        "{}",
        first.stderr
    );
    let (mode, kibibytes) = first.stdout.trim().split_once('\n').unwrap();
    assert_eq!(mode, "1777");
    let kibibytes: u32 = kibibytes.parse().unwrap();
    assert!((900..=1024).contains(&kibibytes), "{kibibytes}");
    // As for a second container of the pod: nothing of it is filled again.
    host.write_sized("m", tree(), 1 << 20).await.unwrap();
    let second = host
        .run(with("cat /m/seed; ls /m/x/y", vec![mount("m", "", "/m")]))
        .await;
    assert_eq!(second.stdout, "1\n2\nf\n");
    host.stop().await;
}

#[tokio::test]
async fn links_and_sub_paths_do_not_lead_outside() {
    let Some(host) = Host::start().await else {
        return;
    };
    let tree = vec![
        folder("", 0o755),
        folder("etc", 0o755),
        file("etc/passwd", 0o644, b"of the volume\n"),
        link("out", "/etc"),
        link("up", "../../../../etc/passwd"),
    ];
    host.write("v", tree).await.unwrap();
    let mounts = vec![mount("v", "out", "/out"), mount("v", "up", "/up")];
    let finished = host.run(with("cat /out/passwd /up", mounts)).await;
    assert_eq!(
        finished.stdout, "of the volume\nof the volume\n",
        "{}",
        finished.stderr
    );
    let refused = |sub_path: &str| with("true", vec![mount("v", sub_path, "/x")]);
    for (sub_path, expect) in [
        ("missing/f", "volume v has no \"missing/f\""),
        (
            "../v",
            "\"../v\" is no path in a volume: it is relative, without . and ..",
        ),
    ] {
        let error = host.create("c", refused(sub_path)).await.unwrap_err();
        assert_eq!(error.to_string(), expect);
        host.assert_nothing_left("c");
    }
    let volume = id("v");
    let read = host.agent.read_volume_file(&volume, "up", 10, DEADLINE);
    assert!(read.await.is_err());
    for (destination, words) in [("etc", "absolute"), ("/", "not the root"), ("/a/..", "..")] {
        let run = with("true", vec![mount("v", "", destination)]);
        let error = host.create("c", run).await.unwrap_err();
        assert!(matches!(error, AgentError::Invalid { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    host.stop().await;
}

#[tokio::test]
async fn hostile_and_oversized_trees_become_no_volume() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.refused(vec![file("../x", 0o600, b"")], "is no path in a volume")
        .await;
    host.refused(vec![file("/etc/x", 0o600, b"")], "is no path in a volume")
        .await;
    host.refused(vec![file("", 0o600, b"")], "is the volume")
        .await;
    host.refused(vec![link("a", "")], "a link to nothing").await;
    let through = vec![
        folder("", 0o755),
        link("out", "/"),
        file("out/written", 0o600, b"x"),
    ];
    host.refused(through, "write \"out/written\"").await;
    let many =
        (0..=agent_client::MOST_TREE_ENTRIES).map(|number| folder(&number.to_string(), 0o755));
    host.refused(many.collect(), "too large").await;
    let content = vec![0; 1 + usize::try_from(agent_client::MOST_TREE_BYTES).unwrap()];
    host.refused(vec![file("a", 0o600, &content)], "too large")
        .await;
    let volume = id("i");
    let error = host
        .agent
        .mount_image_volume(&volume, "0000:00:1f.7", DEADLINE / 60);
    assert!(error.await.is_err());
    assert!(!host.volume("i").exists());
    host.stop().await;
}
