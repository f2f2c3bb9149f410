//! The daemon's own figures, as Prometheus asks for them over HTTP.

use std::{path::PathBuf, time::Duration};

use cri::v1::*;
use cri_server::{Listen, ListenError, ServeError, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::bench::{Bench, Daemon, SOON, sandbox};

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n";

async fn serve_with_metrics(bench: &Bench) -> (Daemon, PathBuf) {
    let path = bench.path("metrics.sock");
    let mut settings = bench.settings();
    settings.metrics = Some(Listen::Unix(path.clone()));
    (Bench::serve_with(settings).await, path)
}

/// Sends this, and reads until the other side ends the connection.
async fn ask(path: &PathBuf, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(SOON, read).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn page_has_calls_and_pods() {
    let bench = Bench::new();
    bench.record_pod("aa11aa11aa11aa11aa11aa11aa11aa11", &sandbox("web"));
    let (mut daemon, path) = serve_with_metrics(&bench).await;
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: "ff".to_owned(),
        verbose: false,
    };
    daemon
        .runtime
        .pod_sandbox_status(request)
        .await
        .unwrap_err();
    let page = ask(&path, GET).await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("application/openmetrics-text"), "{page}");
    for line in [
        r#"cofferdam_rpc_duration_seconds_count{method="PodSandboxStatus",code="NotFound"} 1"#,
        r#"cofferdam_pods{state="stopped"} 1"#,
        r#"cofferdam_pods{state="running"} 0"#,
        r#"cofferdam_containers{state="running"} 0"#,
        "# EOF",
    ] {
        assert!(page.lines().any(|is| is == line), "{line} in {page}");
    }
    assert!(!page.contains("cofferdam_pod_overhead_bytes{"), "{page}");
    daemon.end().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn other_requests_are_refused() {
    let bench = Bench::new();
    let (_daemon, path) = serve_with_metrics(&bench).await;
    let check = async |request: &str, expect: &str| {
        let answer = ask(&path, request).await;
        assert!(answer.starts_with(expect), "{request:?} gave {answer}");
    };
    check("GET / HTTP/1.1\r\nHost: node\r\n\r\n", "HTTP/1.1 404").await;
    let post = "POST /metrics HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n";
    check(post, "HTTP/1.1 405").await;
    check("not http\r\n\r\n", "HTTP/1.1 400").await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(64 << 10));
    // It may be closed while we still write.
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(long.as_bytes()).await.ok();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .ok();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn clients_that_say_nothing_keep_nobody_out() {
    let bench = Bench::new();
    let (_daemon, path) = serve_with_metrics(&bench).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nX: ")
            .await
            .unwrap();
        silent.push(stream);
    }
    let page = timeout(Duration::from_secs(30), ask(&path, GET))
        .await
        .unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    drop(silent);
}

#[tokio::test]
async fn address_that_is_taken_is_said_by_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bench = Bench::new();
    let mut settings = bench.settings();
    settings.metrics = Some(Listen::Tcp(taken.local_addr().unwrap()));
    let error = serve(settings, std::future::pending()).await.unwrap_err();
    assert!(matches!(
        error,
        ServeError::Metrics(ListenError::Tcp { .. })
    ));
    assert!(error.to_string().contains("metrics.listen"), "{error}");
}
