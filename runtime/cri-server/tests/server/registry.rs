//! A registry on loopback with one image, under every repository's name. Main type: [`Registry`]. HTTP/1.1, one request a connection.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use harness::image::{Bundle, Compression, ImageBuilder, Layer};
use images::Digest;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What the registry gives to whoever has this.
pub(crate) const USER: &str = "reader";
pub(crate) const PASSWORD: &str = "pass:word";
pub(crate) const IDENTITY_TOKEN: &str = "identity-of-reader";
pub(crate) const REGISTRY_TOKEN: &str = "token-of-registry";
const ACCESS_TOKEN: &str = "access-of-reader";

/// Paths that were asked for with success.
type Given = Arc<Mutex<Vec<String>>>;

/// Stops when it is dropped.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    pub(crate) content: Arc<Content>,
    given: Given,
    task: JoinHandle<()>,
}

/// What it has.
pub(crate) struct Content {
    /// Digest of the configuration.
    pub(crate) id: String,
    /// Digest of the index, to which the tag `1` leads, and `latest` too.
    pub(crate) index: String,
    pub(crate) layer: String,
    private: bool,
    /// Layers are given to those who have a permit of it.
    pub(crate) gate: Semaphore,
    /// By tag and digest: media type and bytes.
    objects: HashMap<String, (String, Vec<u8>)>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    pub(crate) async fn start() -> Self {
        Self::with(Content::new(false, Semaphore::MAX_PERMITS)).await
    }

    /// Only for those who say who they are.
    pub(crate) async fn private() -> Self {
        Self::with(Content::new(true, Semaphore::MAX_PERMITS)).await
    }

    /// Its layers wait for the gate.
    pub(crate) async fn gated() -> Self {
        Self::with(Content::new(false, 0)).await
    }

    async fn with(content: Content) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (content, given) = (Arc::new(content), Given::default());
        let accepting = accept(listener, Arc::clone(&content), Arc::clone(&given));
        let task = tokio::spawn(accepting);
        Self {
            address,
            content,
            given,
            task,
        }
    }

    /// A repository of its own name.
    pub(crate) fn repository(&self) -> String {
        format!("{}/team/app", self.address)
    }

    /// How many requests for this were let through.
    pub(crate) fn given(&self, object: &str) -> usize {
        let given = self.given.lock().unwrap();
        given.iter().filter(|path| path.ends_with(object)).count()
    }
}

impl Content {
    fn new(private: bool, permits: usize) -> Self {
        let layer = Layer::new(Compression::None).file("hello", 0o644, "hello");
        let image = ImageBuilder::new("app:1").layer(layer).user("www-data:5");
        let bundle: Bundle = image.build().unwrap();
        let manifest = json!({
            "mediaType": bundle.manifest.media_type, "digest": bundle.manifest.digest, "size": bundle.manifest.bytes.len(),
            "platform": { "os": "linux", "architecture": bundle.architecture },
        });
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] }).to_string();
        let digest = Digest::of(index.as_bytes()).to_string();
        let mut objects = HashMap::new();
        for key in ["1", "latest", &digest] {
            let index = (INDEX.to_owned(), index.clone().into_bytes());
            objects.insert(key.to_owned(), index);
        }
        for blob in bundle
            .layers
            .iter()
            .chain([&bundle.config, &bundle.manifest])
        {
            let object = (blob.media_type.clone(), blob.bytes.clone());
            objects.insert(blob.digest.clone(), object);
        }
        Self {
            id: bundle.config.digest.clone(),
            index: digest,
            layer: bundle.layers[0].digest.clone(),
            private,
            gate: Semaphore::new(permits),
            objects,
        }
    }

    /// The token server's answer, to a user with a password or to an identity token (which is posted).
    fn token(&self, authorization: &str, body: &str) -> Reply {
        let basic = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let named = authorization == format!("Basic {basic}");
        if named || body.contains(&format!("refresh_token={IDENTITY_TOKEN}")) {
            let token = json!({ "token": ACCESS_TOKEN, "access_token": ACCESS_TOKEN });
            return Reply::new(200, "application/json", token.to_string().into_bytes());
        }
        Reply::new(401, "application/json", b"{}".to_vec())
    }

    fn allows(&self, authorization: &str) -> bool {
        let tokens = [ACCESS_TOKEN, REGISTRY_TOKEN];
        let mut allowed = tokens.iter().map(|token| format!("Bearer {token}"));
        !self.private || allowed.any(|allowed| allowed == authorization)
    }
}

struct Reply {
    status: u16,
    media_type: String,
    challenge: Option<String>,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16, media_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            media_type: media_type.to_owned(),
            challenge: None,
            body,
        }
    }
}

async fn accept(listener: TcpListener, content: Arc<Content>, given: Given) {
    let address = listener.local_addr().unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (content, given) = (Arc::clone(&content), Arc::clone(&given));
        // A client that goes away is what some tests are about.
        tokio::spawn(async move { serve(stream, address, &content, &given).await });
    }
}

async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    content: &Content,
    given: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let line = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        line.map(|(_, value)| value).unwrap_or_default()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let object = path.rsplit('/').next().unwrap_or_default();
    let reply = if path == "/token" {
        let body = String::from_utf8_lossy(&body);
        content.token(header("authorization"), &body)
    } else if !content.allows(header("authorization")) {
        Reply {
            challenge: Some(format!("Bearer realm=\"http://{address}/token\"")),
            ..Reply::new(401, "application/json", b"{}".to_vec())
        }
    } else if let Some((media_type, bytes)) = content.objects.get(object) {
        given.lock().unwrap().push(path.to_owned());
        if object == content.layer {
            // Given back at once: it is a gate, not a ticket.
            drop(content.gate.acquire().await);
        }
        Reply::new(200, media_type, bytes.clone())
    } else {
        Reply::new(404, "application/json", b"{}".to_vec())
    };
    let Reply {
        status,
        media_type,
        challenge,
        body,
    } = reply;
    let challenge = challenge.map(|words| format!("WWW-Authenticate: {words}\r\n"));
    let head = format!(
        "HTTP/1.1 {status} Word\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n{}\r\n",
        body.len(),
        challenge.unwrap_or_default()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}
