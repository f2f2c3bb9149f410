//! TLS for who wants it: certificate and key from two files, rustls with ring. Main function: [`acceptor`]. Above: `server`.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::settings::Tls;

#[cfg(test)]
mod tests;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// Not there, or no PEM.
    #[error("read the streaming server's certificate {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// A file without one.
    #[error("read the streaming server's certificate {}: there is none in it", .0.display())]
    NoCertificate(PathBuf),
    /// Not there, or no PEM.
    #[error("read the streaming server's key {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// They do not belong together, or are of a kind that rustls does not know.
    #[error("use the streaming server's certificate {} with the key {}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// Takes connections by TLS 1.2 and 1.3.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let (certificate, key) = (&tls.certificate, &tls.key);
    let unread = |source| TlsError::Certificate {
        path: certificate.clone(),
        source,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .map_err(unread)?
        .collect::<Result<_, _>>()
        .map_err(unread)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.clone()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key {
        path: key.clone(),
        source,
    })?;
    let unpaired = |source| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unpaired)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unpaired)?;
    // SPDY and WebSocket begin with an upgrade, which HTTP/2 has not.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
