//! Plugins that do well and plugins that do not, as shell scripts. Each run appends a line to a log.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use model::Fault;
use serde_json::json;

use super::*;
use crate::{NetworkError, cni::conf_list::Form};

const RESULT: &str = r#"{"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.5/24"}]}"#;

/// A folder of plugins, and what they were asked.
struct Plugins {
    folder: tempfile::TempDir,
    cni: Cni,
}

impl Plugins {
    /// Each plugin logs its command and its name, keeps what it reads as `NAME.COMMAND`, then does as its script says.
    fn new(scripts: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let at = folder.path().display();
            let text = format!(
                "#!/bin/sh\ncd {at}\necho \"$CNI_COMMAND {name}\" >> log\ncat > {name}.$CNI_COMMAND\nenv > {name}.env\n{script}\n"
            );
            install(&text, &folder.path().join(name));
        }
        let mut deadlines = Deadlines::scaled(1);
        deadlines.plugin = Duration::from_secs(20);
        let cni = Cni {
            bin_dirs: vec!["/nonexistent".into(), folder.path().to_owned()],
            deadlines,
        };
        Self { folder, cni }
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn input(&self, name: &str) -> Value {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// By another process: while this one has a program open for writing, a child of another test's may hold it too, and no one can
/// execute it (execve(2), ETXTBSY).
fn install(text: &str, path: &Path) {
    let source = path.with_extension("txt");
    fs::write(&source, text).unwrap();
    let mut install = Command::new("install");
    let status = install.args(["-m", "755"]).arg(&source).arg(path).status();
    assert!(status.unwrap().success());
}

fn list(version: &str, programs: &[&str]) -> ConfList {
    let plugins: Vec<Value> = programs
        .iter()
        .map(|program| json!({"type": program, "capabilities": {"portMappings": true}}))
        .collect();
    let conf = json!({"cniVersion": version, "name": "net", "plugins": plugins});
    ConfList::parse(conf.to_string().as_bytes(), Form::List).unwrap()
}

fn attached<'a>(
    list: &'a ConfList,
    capabilities: &'a Map<String, Value>,
    result: Option<&'a Value>,
) -> Attached<'a> {
    Attached {
        list,
        container_id: "p1",
        namespace: "/run/netns/p1".into(),
        interface: "eth0",
        args: "IgnoreUnknown=1;K8S_POD_NAME=web",
        capabilities,
        result,
    }
}

fn whole(source: CniError) -> String {
    let attempt = "try";
    model::chain(&NetworkError::Cni { attempt, source })
}

#[tokio::test]
async fn add_passes_each_result_on_and_gives_the_last() {
    let plugins = Plugins::new(&[
        ("a", &format!("echo '{RESULT}'")),
        ("b", r#"echo '{"ips": [{"address": "10.0.0.6/24"}]}'"#),
    ]);
    let list = list("1.1.0", &["a", "b"]);
    let capabilities = json!({"portMappings": [], "mac": "x"});
    let capabilities = capabilities.as_object().unwrap();
    let result = plugins.cni.add(&attached(&list, capabilities, None)).await;
    let second = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.6/24"}]});
    assert_eq!(result.unwrap(), second);
    assert_eq!(plugins.log(), ["ADD a", "ADD b"]);
    assert!(plugins.input("a.ADD").get("prevResult").is_none());
    let expect = json!({"cniVersion": "1.1.0", "name": "net", "type": "b",
        "runtimeConfig": {"portMappings": []}, "prevResult": serde_json::from_str::<Value>(RESULT).unwrap()});
    assert_eq!(plugins.input("b.ADD"), expect);
}

#[tokio::test]
async fn environment_of_a_plugin_is_clean() {
    let plugins = Plugins::new(&[("a", "echo '{}'")]);
    let list = list("1.0.0", &["a"]);
    plugins
        .cni
        .add(&attached(&list, &Map::new(), None))
        .await
        .unwrap();
    let environment = fs::read_to_string(plugins.folder.path().join("a.env")).unwrap();
    let bin_dirs = format!("CNI_PATH=/nonexistent:{}", plugins.folder.path().display());
    for line in [
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=p1",
        "CNI_NETNS=/run/netns/p1",
        "CNI_IFNAME=eth0",
        "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=web",
        &bin_dirs,
    ] {
        assert!(
            environment.lines().any(|have| have == line),
            "{line}: {environment}"
        );
    }
    // PWD, OLDPWD, SHLVL and _ are the shell's own.
    let own = ["PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    for line in environment.lines() {
        let name = line.split('=').next().unwrap_or_default();
        assert!(name.starts_with("CNI_") || own.contains(&name), "{line}");
    }
}

#[tokio::test]
async fn del_goes_in_reverse_with_the_whole_result() {
    let plugins = Plugins::new(&[("a", ""), ("b", "")]);
    let (result, none) = (json!({"ips": []}), Map::new());
    for (version, expect) in [("0.3.1", None), ("0.4.0", Some(&result))] {
        let list = list(version, &["a", "b"]);
        let from = attached(&list, &none, Some(&result));
        plugins.cni.del(&from).await.unwrap();
        assert_eq!(
            plugins.input("a.DEL").get("prevResult"),
            expect,
            "{version}"
        );
    }
    assert_eq!(plugins.log(), ["DEL b", "DEL a", "DEL b", "DEL a"]);
}

#[tokio::test]
async fn error_of_a_plugin_ends_the_list_and_is_shown_escaped() {
    let said = r#"printf '{"code": 11, "msg": "no\\u001b[31m address", "details": "pool is empty"}'; exit 1"#;
    let plugins = Plugins::new(&[("a", said), ("b", "echo '{}'")]);
    let list = list("1.0.0", &["a", "b"]);
    let error = plugins.cni.add(&attached(&list, &Map::new(), None)).await;
    let text = whole(error.unwrap_err());
    let expect = "plugin a failed to ADD: no\\u{1b}[31m address: pool is empty (code 11)";
    assert!(text.contains(expect), "{text}");
    assert_eq!(plugins.log(), ["ADD a"]);
}

#[tokio::test]
async fn plugin_that_breaks_the_protocol_is_named_with_what_it_wrote() {
    let flood = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
    let check = async |script: &str, expect: &[&str]| {
        let plugins = Plugins::new(&[("a", script)]);
        let list = list("1.0.0", &["a"]);
        let error = plugins.cni.add(&attached(&list, &Map::new(), None)).await;
        let text = whole(error.unwrap_err());
        for part in expect {
            assert!(text.contains(part), "{script}: {text}");
        }
        assert!(text.len() < 8000, "{script}: {} bytes", text.len());
    };
    check("echo nonsense", &["plugin a", "as JSON"]).await;
    check("", &["plugin a", "as JSON"]).await;
    check("exit 3", &["exit status: 3", "it wrote nothing"]).await;
    check("echo out; exit 3", &["exit status: 3", "out"]).await;
    check("echo oh no >&2; exit 3", &["exit status: 3", "oh no"]).await;
    check("head -c 100000 /dev/zero >&2; exit 3", &["\\0\\0"]).await;
    check("kill -9 $$", &["signal: 9"]).await;
    check(flood, &["more than 1048576 bytes"]).await;
}

#[tokio::test]
async fn plugin_that_hangs_is_killed_with_what_it_started() {
    for script in [
        "sleep 1000 & echo $! > child; wait",
        "sleep 1000 & echo $! > child; exit 0",
    ] {
        let mut plugins = Plugins::new(&[("a", script)]);
        plugins.cni.deadlines.plugin = Duration::from_secs(2);
        let list = list("1.0.0", &["a"]);
        let error = plugins.cni.add(&attached(&list, &Map::new(), None)).await;
        let text = whole(error.unwrap_err());
        assert!(text.contains("did not end 2 s after ADD"), "{text}");
        let child = fs::read_to_string(plugins.folder.path().join("child")).unwrap();
        wait_until_gone(child.trim()).await;
    }
}

/// Gone, or dead and waiting for somebody to notice.
async fn wait_until_gone(pid: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().unwrap_or_default();
        if stat.is_empty() || state.starts_with('Z') {
            return;
        }
        assert!(Instant::now() < end, "process {pid} still runs: {stat}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn missing_plugin_is_named_with_the_folders() {
    let plugins = Plugins::new(&[]);
    let list = list("1.0.0", &["calico"]);
    let source = plugins
        .cni
        .add(&attached(&list, &Map::new(), None))
        .await
        .unwrap_err();
    let text = whole(source);
    assert!(
        text.contains("find the CNI plugin calico: it is in none of /nonexistent, "),
        "{text}"
    );
    let source = plugins.cni.status(&list).await.unwrap_err();
    let error = NetworkError::Cni {
        attempt: "ask",
        source,
    };
    assert_eq!(error.fault(), Fault::HostUnfit);
}

#[tokio::test]
async fn check_runs_where_version_list_and_result_allow_it() {
    let plugins = Plugins::new(&[("a", ""), ("b", "")]);
    let result = json!({"ips": []});
    let none = Map::new();
    for version in ["0.3.1", "0.4.0"] {
        let list = list(version, &["a", "b"]);
        plugins
            .cni
            .check(&attached(&list, &none, Some(&result)))
            .await
            .unwrap();
    }
    let mut disabled = list("1.0.0", &["a"]);
    disabled.disable_check = true;
    plugins
        .cni
        .check(&attached(&disabled, &none, Some(&result)))
        .await
        .unwrap();
    let fresh = list("1.0.0", &["a"]);
    plugins
        .cni
        .check(&attached(&fresh, &none, None))
        .await
        .unwrap();
    assert_eq!(plugins.log(), ["CHECK a", "CHECK b"]);
    assert_eq!(plugins.input("b.CHECK")["prevResult"], result);
}

#[tokio::test]
async fn gc_asks_every_plugin_of_a_version_that_has_it() {
    let plugins = Plugins::new(&[("a", "exit 1"), ("b", "")]);
    plugins
        .cni
        .gc(&list("1.0.0", &["a", "b"]), &[])
        .await
        .unwrap();
    let mut disabled = list("1.1.0", &["a", "b"]);
    disabled.disable_gc = true;
    plugins.cni.gc(&disabled, &[]).await.unwrap();
    assert!(plugins.log().is_empty());
    let valid = [("p1".to_owned(), "eth0".to_owned())];
    let asked = plugins.cni.gc(&list("1.1.0", &["a", "b"]), &valid).await;
    asked.unwrap_err();
    assert_eq!(plugins.log(), ["GC a", "GC b"]);
    let stays = json!([{"containerID": "p1", "ifname": "eth0"}]);
    assert_eq!(plugins.input("b.GC")["cni.dev/valid-attachments"], stays);
}

#[tokio::test]
async fn status_is_what_the_plugins_say_where_the_version_has_it() {
    let said = r#"echo '{"code": 50, "msg": "no controller"}'; exit 1"#;
    let plugins = Plugins::new(&[("a", ""), ("b", said)]);
    plugins
        .cni
        .status(&list("1.0.0", &["a", "b"]))
        .await
        .unwrap();
    plugins.cni.status(&list("1.1.0", &["a"])).await.unwrap();
    let text = whole(
        plugins
            .cni
            .status(&list("1.1.0", &["b"]))
            .await
            .unwrap_err(),
    );
    assert!(text.contains("no controller (code 50)"), "{text}");
    assert_eq!(plugins.log(), ["STATUS a", "STATUS b"]);
}
