//! From a name to what is to be had: index, manifest, configuration.
//!
//! Main type: [`Resolved`]. Used by `pull`. Below: `session`; the documents are understood by `images`.

use images::limits::{CONFIG_BYTES, INDEX_DEPTH, MANIFEST_BYTES};
use images::{
    DOCUMENT_TYPES, Digest, Document, ImagePlan, Manifest, Promise, Reference, SourceError,
};

use crate::error::PullError;
use crate::session::{DocumentWanted, Session};

/// What a name stands for at this moment.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) plan: ImagePlan,
    /// Digest of what the name leads to: of the index where there is one.
    pub(crate) top: Digest,
}

impl Resolved {
    /// What the store is to call the image. Who asks by digest gets no tag.
    pub(crate) fn names(&self, name: &Reference) -> Vec<Reference> {
        let mut names = vec![name.pinned(self.top)];
        if name.digest().is_none() {
            names.extend(name.tagged());
        }
        names
    }
}

pub(crate) async fn resolve(session: &Session) -> Result<Resolved, PullError> {
    let name = &session.name;
    let refused = |source| PullError::Document {
        name: name.to_string(),
        source: Box::new(source),
    };
    let mut top = None;
    let mut promise = None;
    for _ in 0..=INDEX_DEPTH + 1 {
        let (digest, document) = document(session, promise).await?;
        top = top.or(Some(digest));
        match document {
            Document::Index(index) => promise = Some(index.choose().map_err(refused)?),
            Document::Manifest(manifest) => {
                let config = config(session, &manifest).await?;
                let plan = manifest.plan(digest, config).map_err(refused)?;
                let top = top.unwrap_or(digest);
                return Ok(Resolved { plan, top });
            }
        }
    }
    Err(refused(SourceError::Nested(INDEX_DEPTH)))
}

/// The document behind the name, or behind an index's promise.
async fn document(
    session: &Session,
    promise: Option<Promise>,
) -> Result<(Digest, Document), PullError> {
    let name = &session.name;
    let pinned = promise.map(|promise| promise.digest).or(name.digest());
    let key = match (pinned, name.tag()) {
        (Some(digest), _) => digest.to_string(),
        // A reference without a digest has a tag.
        (None, tag) => tag.unwrap_or_default().to_owned(),
    };
    let what = match promise {
        Some(promise) => format!("manifest {} of {name}", promise.digest),
        None => format!("the manifest of {name}"),
    };
    let wanted = DocumentWanted {
        what: &what,
        path: &format!("manifests/{key}"),
        accept: &DOCUMENT_TYPES.join(", "),
        digest: pinned,
        size: None,
        limit: MANIFEST_BYTES,
    };
    let wanted = match promise {
        Some(promise) => wanted.promised(promise),
        None => wanted,
    };
    let fetched = session.document(&wanted).await?;
    let document = Document::parse(&what, &fetched.media_type, &fetched.bytes);
    let document = document.map_err(|source| PullError::Document {
        name: name.to_string(),
        source: Box::new(source),
    })?;
    Ok((fetched.digest, document))
}

async fn config(session: &Session, manifest: &Manifest) -> Result<Vec<u8>, PullError> {
    let name = &session.name;
    let promise = manifest.config().map_err(|source| PullError::Document {
        name: name.to_string(),
        source: Box::new(source),
    })?;
    let wanted = DocumentWanted {
        what: &format!("the configuration of {name}"),
        path: &format!("blobs/{}", promise.digest),
        accept: "*/*",
        digest: None,
        size: None,
        limit: CONFIG_BYTES,
    };
    let fetched = session.document(&wanted.promised(promise)).await?;
    Ok(fetched.bytes)
}
