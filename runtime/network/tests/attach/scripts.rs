//! Plugins that fail in the middle, callers that go away, and what is left then: nothing.

use std::{
    fs,
    time::{Duration, Instant},
};

use model::Fault;
use network::NetworkError;
use serde_json::{Value, json};

use crate::node::{self, Node, PATIENCE, chain, pod, request};

const RESULT: &str = r#"[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.5/24"}]}'"#;

fn list(programs: &[&str]) -> Value {
    let plugins: Vec<Value> = programs
        .iter()
        .map(|program| json!({"type": program}))
        .collect();
    json!({"cniVersion": "1.1.0", "name": "net", "plugins": plugins})
}

#[test]
fn failed_plugin_undoes_those_before_it_in_reverse() {
    node::run(
        "failed_plugin_undoes_those_before_it_in_reverse",
        &[],
        async |node: Node| {
            node.script("first", RESULT);
            node.script(
                "second",
                r#"[ "$CNI_COMMAND" = DEL ] || { echo '{"code": 7, "msg": "no way"}'; exit 1; }"#,
            );
            node.configure("1.conflist", &list(&["first", "second"]));
            let error = node.network.setup(request("p1")).await.unwrap_err();
            let text = chain(&error);
            assert!(
                text.contains("plugin second failed to ADD: no way (code 7)"),
                "{text}"
            );
            assert_eq!(error.fault(), Fault::Internal);
            assert_eq!(
                node.log(),
                ["ADD first", "ADD second", "DEL second", "DEL first"]
            );
            node.assert_clean(&[]).await;
            // Nothing is deleted twice.
            node.network.teardown(&pod("p1")).await.unwrap();
            assert_eq!(node.log().len(), 4);
        },
    );
}

#[test]
fn network_without_an_address_or_a_plugin_is_refused_and_undone() {
    node::run(
        "network_without_an_address_or_a_plugin_is_refused_and_undone",
        &[],
        async |node: Node| {
            node.script("first", "echo '{}'");
            node.configure("1.conflist", &list(&["first"]));
            let error = node.network.setup(request("p1")).await.unwrap_err();
            assert!(matches!(error, NetworkError::NoAddress { .. }), "{error}");
            assert_eq!(node.log(), ["ADD first", "DEL first"]);
            node.assert_clean(&[]).await;
            fs::remove_file(node.path("net.d/1.conflist")).unwrap();
            let error = node.network.setup(request("p1")).await.unwrap_err();
            assert!(
                chain(&error).contains("no CNI network is configured"),
                "{error}"
            );
            assert_eq!(error.fault(), Fault::HostUnfit);
            let mut nameless = request("p1");
            nameless.name = "a;b".to_owned();
            let error = node.network.setup(nameless).await.unwrap_err();
            assert_eq!(error.fault(), Fault::Invalid);
            node.assert_clean(&[]).await;
        },
    );
}

#[test]
fn plugin_that_cannot_delete_keeps_the_record_until_it_can() {
    node::run(
        "plugin_that_cannot_delete_keeps_the_record_until_it_can",
        &[],
        async |mut node: Node| {
            node.script("first", RESULT);
            node.script(
                "second",
                "[ ! -e AT/broken ] || { echo broken >&2; exit 1; }",
            );
            node.script("last", RESULT);
            node.configure("1.conflist", &list(&["first", "second", "last"]));
            fs::write(node.path("broken"), "").unwrap();
            let error = node.network.setup(request("p1")).await.unwrap_err();
            let text = chain(&error);
            assert!(matches!(error, NetworkError::Undo { .. }), "{text}");
            assert!(
                text.contains("second failed to ADD") && text.contains("second failed to DEL"),
                "{text}"
            );
            let error = node.network.setup(request("p1")).await.unwrap_err();
            assert!(matches!(error, NetworkError::Exists { .. }), "{error}");
            node.restart();
            node.network.teardown(&pod("p1")).await.unwrap_err();
            fs::remove_file(node.path("broken")).unwrap();
            node.network.teardown(&pod("p1")).await.unwrap();
            node.assert_clean(&[]).await;
            assert_eq!(node.log().last().unwrap(), "DEL first");
        },
    );
}

#[test]
fn network_is_left_though_its_record_cannot_be_written() {
    node::run(
        "network_is_left_though_its_record_cannot_be_written",
        &[],
        async |node: Node| {
            node.script("first", RESULT);
            node.configure("1.conflist", &list(&["first"]));
            if node.setup(request("p1")).await.is_none() {
                return;
            }
            // In the way of every write, as a full disk is.
            let young = node.path("state/attachments/p1.tmp");
            fs::create_dir(&young).unwrap();
            node.network.teardown(&pod("p1")).await.unwrap();
            fs::remove_dir(&young).unwrap();
            node.assert_clean(&[]).await;
            assert_eq!(node.log().last().unwrap(), "DEL first");
        },
    );
}

#[test]
fn network_of_a_caller_that_goes_away_is_undone() {
    node::run(
        "network_of_a_caller_that_goes_away_is_undone",
        &[],
        async |node: Node| {
            node.script("first", &format!("{RESULT}; touch AT/begun; [ $CNI_COMMAND = DEL ] || until [ -e AT/go ]; do sleep 0.05; done"));
            node.configure("1.conflist", &list(&["first"]));
            let network = node.network.clone();
            let caller = tokio::spawn(async move { network.setup(request("p1")).await });
            wait_for(|| node.path("begun").exists()).await;
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
            fs::write(node.path("go"), "").unwrap();
            wait_for(|| node.log() == ["ADD first", "DEL first"]).await;
            // Waits for its turn behind the one that is undone.
            node.network.teardown(&pod("p1")).await.unwrap();
            node.assert_clean(&[]).await;
        },
    );
}

async fn wait_for(condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn status_says_why_pods_cannot_be_added() {
    node::run(
        "status_says_why_pods_cannot_be_added",
        &[],
        async |node: Node| {
            node.configure("0.conflist", &json!({"name": "net"}));
            let text = chain(&node.network.status().await.unwrap_err());
            assert!(
                text.contains("0.conflist: use it: plugins is missing"),
                "{text}"
            );
            node.configure("1.conflist", &list(&["first"]));
            let text = chain(&node.network.status().await.unwrap_err());
            assert!(text.contains("find the CNI plugin first"), "{text}");
            node.script(
                "first",
                r#"[ -e AT/ready ] || { echo '{"code": 50, "msg": "no controller"}'; exit 1; }"#,
            );
            let text = chain(&node.network.status().await.unwrap_err());
            assert!(text.contains("no controller (code 50)"), "{text}");
            fs::write(node.path("ready"), "").unwrap();
            node.network.status().await.unwrap();
        },
    );
}

#[test]
fn pod_without_a_network_is_not_found() {
    node::run(
        "pod_without_a_network_is_not_found",
        &[],
        async |node: Node| {
            let error = node.network.check(&pod("p1")).await.unwrap_err();
            assert_eq!(error.fault(), Fault::NotFound);
            let error = node.network.ips(&pod("p1")).await.unwrap_err();
            assert_eq!(error.fault(), Fault::NotFound);
            node.network.teardown(&pod("p1")).await.unwrap();
        },
    );
}

#[test]
fn collection_tells_plugins_which_pods_stay() {
    node::run(
        "collection_tells_plugins_which_pods_stay",
        &[],
        async |mut node: Node| {
            let dummy = format!("{RESULT}\n[ $CNI_COMMAND != GC ] || cp AT/input AT/gc");
            node.script("first", &dummy);
            node.configure("1.conflist", &list(&["first"]));
            let attachment = node.network.setup(request("p1")).await.unwrap();
            assert!(attachment.taps.is_empty(), "the script makes no link");
            node.restart();
            let stale = node.path("run/netns/stale");
            fs::write(&stale, "").unwrap();
            let collected = node.network.gc([pod("p1")].into()).await.unwrap();
            assert_eq!(collected.removed, [pod("stale")]);
            let told: Value = serde_json::from_slice(&fs::read(node.path("gc")).unwrap()).unwrap();
            let stays = json!([{"containerID": "p1", "ifname": "eth0"}]);
            assert_eq!(told["cni.dev/valid-attachments"], stays);
            node.network.teardown(&pod("p1")).await.unwrap();
            assert_eq!(node.log(), ["ADD first", "GC first", "DEL first"]);
            node.assert_clean(&[]).await;
        },
    );
}

#[test]
fn tap_that_a_plugin_made_is_used_itself() {
    let name = "tap_that_a_plugin_made_is_used_itself";
    node::run(name, &[], async |node: Node| {
        if std::process::Command::new("ip").arg("-V").output().is_err() {
            eprintln!("SKIPPED {}: no program ip", node.test);
            return;
        }
        let make = "[ $CNI_COMMAND != ADD ] || nsenter --net=$CNI_NETNS sh -ec 'ip tuntap add eth0 mode tap KIND; ip addr add 10.0.0.5/24 dev eth0; ip link set eth0 up' >&2";
        for (pod, kind, queues) in [("p1", "", 1), ("p2", "multi_queue", 2)] {
            node.script(
                "first",
                &format!("{}\n{RESULT}", make.replace("KIND", kind)),
            );
            node.configure("1.conflist", &list(&["first"]));
            let mut request = request(pod);
            request.queues = std::num::NonZeroU8::new(2);
            let attachment = node.network.setup(request).await.unwrap();
            assert_eq!(attachment.taps[0].name, "eth0");
            assert_eq!(attachment.taps[0].queues.len(), queues, "{kind}");
            assert_eq!(node.links(Some(pod)).await.len(), 2, "no second tap");
            node.network.teardown(&node::pod(pod)).await.unwrap();
        }
        node.assert_clean(&[]).await;
    });
}
