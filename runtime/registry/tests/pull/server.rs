//! A registry that does as it is told: each request goes through a script, every request is remembered.
//!
//! Main types: [`Server`], [`Request`], [`Reply`]. Speaks HTTP/1.1 with one request a connection.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// Whom the client thinks it asks.
    pub(crate) host: String,
    pub(crate) authorization: Option<String>,
    /// First byte asked for.
    pub(crate) from: usize,
    pub(crate) body: String,
    /// How many requests for this path there were before.
    pub(crate) earlier: usize,
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Send no more of the body than this, then close.
    pub(crate) cut: Option<usize>,
    /// Send no more of the body than this until the gate gives a permit.
    pub(crate) gate: Option<(usize, Arc<Semaphore>)>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn json(status: u16, text: &str) -> Self {
        Self {
            body: text.as_bytes().to_vec(),
            ..Self::status(status)
        }
    }

    /// Changes it, or not.
    pub(crate) fn when(mut self, condition: bool, change: impl FnOnce(&mut Self)) -> Self {
        if condition {
            change(&mut self);
        }
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Script = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(script, |stream| async move { Ok(stream) }).await
    }

    /// With something between the connection and HTTP, as TLS.
    pub(crate) async fn start_with<S, F>(
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(tokio::net::TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Arc::new(script);
        let log = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (wrapped, script, log) = (wrap(stream), script.clone(), log.clone());
                // A client that goes away is what some tests are about.
                tokio::spawn(serve(wrapped, script, log));
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests had this in their path.
    pub(crate) fn count(&self, part: &str) -> usize {
        let seen = self.seen();
        seen.iter()
            .filter(|request| request.path.contains(part))
            .count()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: impl Future<Output = io::Result<S>>,
    script: Script,
    log: Arc<Mutex<Vec<Request>>>,
) -> io::Result<()> {
    let mut stream = stream.await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length");
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    let from = headers.get("range").map_or(0, |range| {
        let first = range.strip_prefix("bytes=").unwrap();
        first.strip_suffix('-').unwrap().parse().unwrap()
    });
    let reply = {
        let mut log = log.lock().unwrap();
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            host: headers.get("host").cloned().unwrap_or_default(),
            authorization: headers.get("authorization").cloned(),
            from,
            body: String::from_utf8(body).unwrap(),
            earlier: log
                .iter()
                .filter(|request: &&Request| request.path == path)
                .count(),
        };
        let reply = script(&request);
        log.push(request);
        reply
    };
    answer(&mut stream, reply).await
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, reply: Reply) -> io::Result<()> {
    let Reply {
        status,
        headers,
        body,
        cut,
        gate,
    } = reply;
    let mut head = format!("HTTP/1.1 {status} Word\r\nConnection: close\r\n");
    head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let end = cut.unwrap_or(body.len()).min(body.len());
    let mut start = 0;
    if let Some((before, gate)) = gate {
        start = before.min(end);
        stream.write_all(&body[..start]).await?;
        stream.flush().await?;
        drop(gate.acquire().await.map_err(io::Error::other)?);
    }
    stream.write_all(&body[start..end]).await?;
    stream.flush().await?;
    stream.shutdown().await
}
