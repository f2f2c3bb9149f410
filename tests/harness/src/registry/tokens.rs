//! A token server beside a docker-registry: it says by signed tokens who may read what, and the registry checks the signatures with the server's
//! certificate. Main types: [`TokenServer`] and [`Token`], what one says.
//!
//! As the distribution project has it: GET with a name and its password, POST with a refresh token (OAuth 2). Keys and signatures are openssl(1)'s.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tempfile::TempDir;

use super::{PASSWORD, USER};

/// The refresh token that the server takes from whoever has it.
pub const IDENTITY_TOKEN: &str = "identity-of-a-reader";

/// The registry's name for the server, and the server's for the registry.
pub(super) const ISSUER: &str = "tokens-of-tests";
pub(super) const SERVICE: &str = "registry-of-tests";

/// The key and the certificate that it is in. RSA, because openssl's signature is then what a token has.
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";

/// How long a token is good, and how far the times in it are from now: the registry looks at them with a minute's tolerance.
const TOKEN_LIFE: Duration = Duration::from_secs(600);
/// A client that says nothing holds up the next.
const SILENCE: Duration = Duration::from_secs(30);

/// What a token says.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// Who has it may read this; nothing, where it is empty.
    pub repository: &'a str,
    /// Whether its time is over.
    pub expired: bool,
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct TokenServer {
    address: SocketAddr,
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What the server's thread works with.
#[derive(Debug)]
struct Desk {
    folder: TempDir,
    /// The certificate as a token carries it.
    certificate: String,
    asked: Mutex<Vec<String>>,
    ending: AtomicBool,
}

/// A request, as far as it matters.
struct Asked {
    post: bool,
    authorization: String,
    /// Of the query, or of the form.
    fields: Vec<(String, String)>,
}

impl TokenServer {
    pub fn start() -> Result<Self> {
        let desk = Arc::new(Desk::new()?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        let address = listener.local_addr().context("ask for the free port")?;
        let thread = {
            let desk = Arc::clone(&desk);
            thread::spawn(move || desk.serve(&listener))
        };
        Ok(Self {
            address,
            desk,
            thread: Some(thread),
        })
    }

    /// A token, as the server gives it to those who may have it.
    pub fn token(&self, token: Token<'_>) -> Result<String> {
        self.desk.token(token)
    }

    /// How it was asked until now: method, who asked (`reader`, `refresh_token`, nobody) and what for, as
    /// `GET reader repository:team/app:pull`. Wrong credentials are among them.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.desk.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.desk.folder.path().join(CERTIFICATE)
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.desk.ending.store(true, Ordering::Release);
        // It waits for a client: this is the last.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Desk {
    fn new() -> Result<Self> {
        let folder = TempDir::with_prefix("tokens-test.").context("make a folder")?;
        let line = format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout {KEY} -out {CERTIFICATE}"
        );
        openssl(folder.path(), &line, b"").context("make a certificate")?;
        let line = format!("x509 -in {CERTIFICATE} -outform DER");
        let certificate = openssl(folder.path(), &line, b"").context("read the certificate")?;
        Ok(Self {
            folder,
            certificate: STANDARD.encode(certificate),
            asked: Mutex::default(),
            ending: AtomicBool::new(false),
        })
    }

    fn serve(&self, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.ending.load(Ordering::Acquire) {
                return;
            }
            // Who breaks off has its own error.
            self.answer(client).ok();
        }
    }

    fn answer(&self, mut client: TcpStream) -> Result<()> {
        client.set_read_timeout(Some(SILENCE))?;
        let asked = read(&client)?;
        let (status, body) = match self.decide(&asked)? {
            Some(token) if asked.post => ("200 OK", json!({ "access_token": token })),
            Some(token) => ("200 OK", json!({ "token": token })),
            None => ("401 Unauthorized", json!({ "error": "invalid_grant" })),
        };
        let body = body.to_string();
        let length = body.len();
        write!(
            client,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        Ok(())
    }

    /// The token that this client gets. Who says nothing gets one, too: for nothing.
    fn decide(&self, asked: &Asked) -> Result<Option<String>> {
        let reader = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let (who, known) = match (asked.post, asked.authorization.as_str()) {
            (true, _) => (
                "refresh_token",
                asked.field("refresh_token") == IDENTITY_TOKEN,
            ),
            (false, "") => ("nobody", true),
            (false, said) => (USER, said == reader),
        };
        let (scope, service) = (asked.field("scope"), asked.field("service"));
        let method = if asked.post { "POST" } else { "GET" };
        let log = format!("{method} {who} {scope}");
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(log);
        drop(all);
        if !known || service != SERVICE {
            return Ok(None);
        }
        let wanted = scope.strip_prefix("repository:").unwrap_or_default();
        let wanted = wanted.strip_suffix(":pull").unwrap_or_default();
        let token = Token {
            repository: if who == "nobody" { "" } else { wanted },
            expired: false,
        };
        self.token(token).map(Some)
    }

    fn token(&self, token: Token<'_>) -> Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let from = match token.expired {
            true => now.saturating_sub(2 * TOKEN_LIFE),
            false => now,
        };
        let access = match token.repository {
            "" => json!([]),
            name => json!([{ "type": "repository", "name": name, "actions": ["pull"] }]),
        };
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [self.certificate] });
        let claims = json!({
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "nbf": from.as_secs(),
            "iat": from.as_secs(),
            "exp": (from + TOKEN_LIFE).as_secs(),
            "jti": "1",
            "access": access,
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let line = format!("dgst -sha256 -sign {KEY} -binary");
        let signature = openssl(self.folder.path(), &line, signed.as_bytes());
        let signature = signature.context("sign a token")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Asked {
    fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

fn read(client: &TcpStream) -> Result<Asked> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    reader.read_line(&mut line).context("read a request")?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let post = method == Some("POST");
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).context("read a header")?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.trim().clone_into(&mut authorization),
            "content-length" => length = value.trim().parse().context("read a length")?,
            _ => {}
        }
    }
    let mut body = String::new();
    let whole = reader.take(length).read_to_string(&mut body);
    whole.context("read a form")?;
    let fields = if post { body.as_str() } else { query };
    let fields = form_urlencoded::parse(fields.as_bytes()).into_owned();
    Ok(Asked {
        post,
        authorization,
        fields: fields.collect(),
    })
}

/// What openssl(1) says to this in a folder.
fn openssl(folder: &Path, line: &str, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start openssl: install Debian's openssl (tests/testbed/packages registry)")?;
    // A pipe holds more than any input here.
    let given = child
        .stdin
        .take()
        .context("openssl's input")?
        .write_all(input);
    let output = child.wait_with_output().context("wait for openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {line}: {said}");
    given.context("give openssl its input")?;
    Ok(output.stdout)
}
