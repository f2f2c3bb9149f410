//! Brings one layer's bytes, from whichever host gives them, and goes on where a connection was cut.
//!
//! Main type: [`Download`]. The bytes are not trusted here: the converter at the other end checks their digest. Used by
//! `flight`. Below: `endpoint`.

use images::Promise;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use crate::deadlines::Patience;
use crate::endpoint::{self, Endpoint, Wanted};
use crate::error::{Attempt, Kind, Problem};
use crate::limits;
use crate::stream::Piece;

/// One layer on its way.
pub(crate) struct Download<'a> {
    promise: Promise,
    patience: Patience,
    pieces: Sender<Piece>,
    report: &'a (dyn Fn(u64) + Send + Sync),
    /// Bytes that are passed on.
    position: u64,
    tries: usize,
}

/// Why there are not all bytes.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The converter does not want more; it knows why.
    NobodyReads,
    /// Each host that was asked, with its last reason.
    Failed(Vec<Attempt>),
}

enum Try {
    NobodyReads,
    Problem(Problem),
}

impl<'a> Download<'a> {
    pub(crate) fn new(
        promise: Promise,
        patience: Patience,
        pieces: Sender<Piece>,
        report: &'a (dyn Fn(u64) + Send + Sync),
    ) -> Self {
        Self {
            promise,
            patience,
            pieces,
            report,
            position: 0,
            tries: 0,
        }
    }

    /// Asks host after host; each goes on where the one before ended.
    pub(crate) async fn run(mut self, endpoints: &[&Endpoint]) -> Result<(), Stop> {
        let mut attempts = Vec::new();
        for endpoint in endpoints {
            match self.from(endpoint).await {
                Ok(()) => {
                    let sent = self.pieces.send(Piece::End).await;
                    return sent.map_err(|_closed| Stop::NobodyReads);
                }
                Err(Try::NobodyReads) => return Err(Stop::NobodyReads),
                Err(Try::Problem(problem)) => {
                    let host = endpoint.host();
                    let layer = self.promise.digest;
                    tracing::debug!(%layer, %host, %problem, "layer did not come whole");
                    attempts.push(Attempt { host, problem });
                }
            }
        }
        Err(Stop::Failed(attempts))
    }

    /// Tries one host again as long as it is worth it.
    async fn from(&mut self, endpoint: &Endpoint) -> Result<(), Try> {
        let mut fruitless = 0;
        loop {
            let before = self.position;
            let problem = match self.once(endpoint).await {
                Ok(()) => return Ok(()),
                Err(Try::Problem(problem)) => problem,
                nobody => return nobody,
            };
            self.tries += 1;
            fruitless = if self.position > before {
                0
            } else {
                fruitless + 1
            };
            let hopeless =
                fruitless >= limits::FRUITLESS_TRIES || self.tries >= limits::LAYER_TRIES;
            if hopeless || problem.kind() != Kind::Unavailable {
                return Err(Try::Problem(problem));
            }
            sleep(self.patience.retry * (1 << fruitless)).await;
        }
    }

    async fn once(&mut self, endpoint: &Endpoint) -> Result<(), Try> {
        let path = format!("blobs/{}", self.promise.digest);
        let wanted = Wanted {
            path: &path,
            accept: "*/*",
            from: self.position,
        };
        let mut response = endpoint.get(&wanted).await.map_err(Try::Problem)?;
        let mut skip = self.first_byte(&response).map_err(Try::Problem)?;
        loop {
            let next = endpoint::chunk(&mut response, self.patience).await;
            let Some(mut bytes) = next.map_err(|reason| self.cut(reason))? else {
                break;
            };
            let repeated = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= repeated as u64;
            drop(bytes.split_to(repeated));
            if bytes.is_empty() {
                continue;
            }
            self.position += bytes.len() as u64;
            let sent = self.pieces.send(Piece::Data(bytes)).await;
            sent.map_err(|_closed| Try::NobodyReads)?;
            (self.report)(self.position.min(self.promise.size));
            if self.position > self.promise.size {
                // The converter refuses it for its size.
                return Ok(());
            }
        }
        if self.position < self.promise.size {
            return Err(self.cut("the answer ends there".to_owned()));
        }
        Ok(())
    }

    fn cut(&self, reason: String) -> Try {
        Try::Problem(Problem::Cut {
            got: self.position,
            size: self.promise.size,
            reason,
        })
    }

    /// How many bytes of this answer are here already: a host may send all of it although a part was asked for
    /// (RFC 9110, 14.2).
    fn first_byte(&self, response: &Response) -> Result<u64, Problem> {
        if self.position == 0 || response.status() == StatusCode::OK {
            return Ok(self.position);
        }
        let range = response.headers().get(CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let first = range
            .and_then(|range| range.trim().strip_prefix("bytes "))
            .and_then(|range| range.split('-').next())
            .and_then(|first| first.trim().parse::<u64>().ok());
        match first {
            Some(first) if first <= self.position => Ok(self.position - first),
            _ => Err(Problem::Protocol(format!(
                "asked for the bytes from {} on, it sends others",
                self.position
            ))),
        }
    }
}
