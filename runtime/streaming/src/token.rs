//! Who may come: whoever holds a token, once, for a while. Main type: [`Tokens`]. Above: `server`, which gives them out, and `http`, which
//! takes them back.
//!
//! A token is 256 random bits. It is looked up by a keyed hash of all its bits, so how long a wrong one takes says nothing about a right one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::time::Instant;

use crate::{backend::Session, limits, settings::TooMany};

#[cfg(test)]
mod tests;

type Token = [u8; limits::TOKEN_BYTES];

/// The tokens that wait for their clients.
pub(crate) struct Tokens {
    most: usize,
    life: Duration,
    // Calls of CRI put in and connections take out, each in a line without an await: a task would only add a queue.
    waiting: Mutex<HashMap<Token, Waiting>>,
}

struct Waiting {
    session: Session,
    until: Instant,
}

impl Tokens {
    pub(crate) fn new(most: usize, life: Duration) -> Self {
        Self {
            most,
            life,
            waiting: Mutex::new(HashMap::new()),
        }
    }

    /// A new token, as it stands in a URL.
    pub(crate) fn give(&self, session: Session) -> Result<String, TooMany> {
        let now = Instant::now();
        let mut waiting = self.waiting();
        if waiting.len() >= self.most {
            waiting.retain(|_, waiting| waiting.until > now);
        }
        if waiting.len() >= self.most {
            return Err(TooMany { most: self.most });
        }
        let token = random();
        let until = now + self.life;
        waiting.insert(token, Waiting { session, until });
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// What a token was given for. It is gone after that.
    pub(crate) fn take(&self, text: &str) -> Option<Session> {
        let mut token = Token::default();
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut token).ok()?;
        let whole = length == token.len();
        let waiting = self.waiting().remove(&token).filter(|_| whole)?;
        (waiting.until > Instant::now()).then_some(waiting.session)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Token, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> Token {
    let mut token = Token::default();
    let filled = getrandom(&mut token, GetRandomFlags::empty());
    // getrandom(2): up to 256 bytes come whole and uninterrupted, once the kernel's pool is ready.
    assert_eq!(filled, Ok(token.len()), "the kernel has random bytes");
    token
}
