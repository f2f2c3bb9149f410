//! Tests of where an image is asked for, and of what a configuration may say.

use super::{Hosts, Mirror, Registry};

fn mirror(url: &str) -> Mirror {
    Mirror {
        url: url.to_owned(),
        ca_file: None,
        send_credentials: false,
    }
}

fn registry(host: &str, mirrors: &[&str], url: Option<&str>) -> Registry {
    Registry {
        host: host.to_owned(),
        mirrors: mirrors.iter().map(|url| mirror(url)).collect(),
        url: url.map(str::to_owned),
        ca_file: None,
    }
}

fn check(hosts: &Hosts, name: &str, expect: &[&str]) {
    let servers = hosts.servers(&name.parse().unwrap()).unwrap();
    let got: Vec<_> = servers
        .iter()
        .map(|server| match &server.namespace {
            Some(namespace) => format!("{} ns={namespace}", server.base),
            None => server.base.to_string(),
        })
        .collect();
    assert_eq!(got, expect, "{name}");
}

#[test]
fn registry_without_an_entry_is_asked_at_its_name() {
    let hosts = Hosts::default();
    check(&hosts, "busybox", &["https://registry-1.docker.io/"]);
    check(
        &hosts,
        "registry.example:5000/a",
        &["https://registry.example:5000/"],
    );
    check(&hosts, "localhost:5000/a", &["http://localhost:5000/"]);
    check(&hosts, "127.0.0.1/a", &["http://127.0.0.1/"]);
    check(&hosts, "localhost:443/a", &["https://localhost/"]);
    check(
        &hosts,
        "127.0.0.1.example/a",
        &["https://127.0.0.1.example/"],
    );
}

#[test]
fn mirrors_come_in_order_and_the_registry_last() {
    let registries = vec![
        registry("*", &["http://all.example/proxy/"], None),
        registry(
            "docker.io",
            &["https://one.example/v2", "http://127.0.0.1:5000"],
            None,
        ),
        registry("gcr.io", &[], Some("http://127.0.0.1:5001")),
    ];
    let hosts = Hosts { registries };
    hosts.check().unwrap();
    check(
        &hosts,
        "busybox",
        &[
            "https://one.example/ ns=docker.io",
            "http://127.0.0.1:5000/ ns=docker.io",
            "https://registry-1.docker.io/",
        ],
    );
    check(&hosts, "gcr.io/a", &["http://127.0.0.1:5001/ ns=gcr.io"]);
    check(
        &hosts,
        "quay.io/a",
        &["http://all.example/proxy/ ns=quay.io", "https://quay.io/"],
    );
}

#[test]
fn wrong_hosts_are_refused_by_name() {
    let check = |registries: Vec<Registry>, expect: &str| {
        let error = Hosts { registries }.check().unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("secret"), "{error}");
    };
    let one = |url: &str| vec![registry("a.example", &[url], None)];
    check(
        one("mirror.example"),
        "registry a.example: `mirror.example`",
    );
    check(one("ftp://mirror.example"), "must start with http://");
    check(one("https://me:secret@mirror.example"), "credentials come");
    check(one("https://mirror.example/?a=b"), "behind `?`");
    check(
        vec![
            registry("docker.io", &[], None),
            registry("index.docker.io", &[], None),
        ],
        "index.docker.io is there twice",
    );
    check(
        vec![registry("*", &[], Some("http://a.example"))],
        "stands for many",
    );
}
