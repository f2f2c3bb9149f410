//! The distribution project's own registry, as Debian packages it (`apt-get install docker-registry`); says so where it is
//! missing.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use registry::Kind;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Url};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::bench::{Bench, Content, NAME, SOON, hosts, pull, refused};

struct Distribution {
    _child: Child,
    url: String,
}

impl Distribution {
    /// `None`, aloud, where the program is missing.
    async fn start(folder: &Path) -> Option<Self> {
        let config = folder.join("config.yml");
        let data = folder.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '127.0.0.1:0'}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).kill_on_drop(true);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: docker-registry cannot be started: {error}");
                return None;
            }
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = address(&mut lines);
        let address = tokio::time::timeout(SOON, address).await.unwrap();
        // It must not block on what it logs.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self {
            _child: child,
            url: format!("http://{address}"),
        })
    }

    async fn push(&self, content: &Content) {
        // reqwest wants to be told which TLS even where there is none.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder().tls_backend_preconfigured(tls);
        let client = client.no_proxy().timeout(SOON).build().unwrap();
        for (digest, bytes) in &content.blobs {
            let start = format!("{}/v2/team/app/blobs/uploads/", self.url);
            let started = client
                .post(&start)
                .send()
                .await
                .unwrap()
                .error_for_status()
                .unwrap();
            let location = started.headers()[LOCATION].to_str().unwrap();
            let mut upload = Url::parse(&start).unwrap().join(location).unwrap();
            upload.query_pairs_mut().append_pair("digest", digest);
            let put = client.put(upload).body(bytes.clone()).send().await.unwrap();
            put.error_for_status().unwrap();
        }
        // An index is refused before its manifests are there.
        for (key, media_type, bytes) in content.documents_in_order() {
            let url = format!("{}/v2/team/app/manifests/{key}", self.url);
            let put = client.put(url).header(CONTENT_TYPE, media_type).body(bytes);
            put.send().await.unwrap().error_for_status().unwrap();
        }
    }
}

/// What it logs when it is ready.
async fn address(lines: &mut Lines<BufReader<ChildStderr>>) -> String {
    loop {
        let line = lines.next_line().await.unwrap();
        let line = line.expect("docker-registry ended without listening");
        if let Some((_, address)) = line.split_once("listening on ") {
            let end = address.find(['"', ' ', ',']).unwrap_or(address.len());
            return address[..end].to_owned();
        }
    }
}

#[tokio::test]
async fn image_of_a_real_registry_is_pulled() {
    let bench = Bench::new();
    let Some(distribution) = Distribution::start(&bench.path("")).await else {
        return;
    };
    let content = Content::app();
    distribution.push(&content).await;
    let puller = bench.puller(hosts(&[], &distribution.url));
    let image = pull(&puller, NAME).await.unwrap();
    let pinned = format!("registry.test/team/app@{}", content.top);
    assert_eq!(image.digests, [pinned.parse().unwrap()]);
    assert_eq!(pull(&puller, &pinned).await.unwrap().id, image.id);
    bench.store.open_rootfs(&image).unwrap();
    let result = pull(&puller, "registry.test/team/app:2").await;
    refused(result, Kind::NotFound, "MANIFEST_UNKNOWN manifest unknown");
    let result = pull(&puller, "registry.test/nothing:1").await;
    refused(result, Kind::NotFound, "not found");
}
