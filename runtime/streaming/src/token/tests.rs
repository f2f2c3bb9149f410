//! Tokens: once, for a while, so many.

use std::time::Duration;

use tokio::time::advance;

use super::Tokens;
use crate::backend::{PortForward, Session};

const LIFE: Duration = Duration::from_secs(60);

fn session(name: &str) -> Session {
    Session::PortForward(PortForward {
        sandbox: name.to_owned(),
        ports: Vec::new(),
    })
}

#[tokio::test(start_paused = true)]
async fn token_is_taken_once() {
    let tokens = Tokens::new(10, LIFE);
    let (one, two) = (tokens.give(session("one")), tokens.give(session("two")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one, two);
    assert_eq!(one.len(), 43, "256 bits in base64");
    assert_eq!(tokens.take(&two), Some(session("two")));
    assert_eq!(tokens.take(&two), None);
    assert_eq!(tokens.take(&one), Some(session("one")));
    assert_eq!(tokens.take(&one), None);
}

#[tokio::test(start_paused = true)]
async fn token_that_is_none_is_not_taken() {
    let tokens = Tokens::new(10, LIFE);
    let right = tokens.give(session("one")).unwrap();
    let long = format!("{right}A");
    let padded = format!("{right}=");
    let wrong = [
        "",
        "A",
        "?",
        &right[1..],
        &long,
        &padded,
        &"A".repeat(43),
        &"A".repeat(9000),
    ];
    for text in wrong {
        assert_eq!(tokens.take(text), None, "{text}");
    }
    assert_eq!(tokens.take(&right), Some(session("one")));
}

#[tokio::test(start_paused = true)]
async fn token_ends_with_its_time_and_makes_room() {
    let tokens = Tokens::new(2, LIFE);
    let first = tokens.give(session("one")).unwrap();
    advance(LIFE / 2).await;
    let second = tokens.give(session("two")).unwrap();
    let refused = tokens.give(session("three")).unwrap_err();
    assert_eq!(refused.most, 2);
    advance(LIFE / 2).await;
    assert_eq!(tokens.take(&first), None);
    let third = tokens.give(session("three")).unwrap();
    tokens.give(session("four")).unwrap_err();
    for (token, name) in [(second, "two"), (third, "three")] {
        assert_eq!(tokens.take(&token), Some(session(name)));
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_nobody_uses_are_bounded() {
    let tokens = Tokens::new(1000, LIFE);
    for _ in 0..1000 {
        tokens.give(session("one")).unwrap();
    }
    tokens.give(session("one")).unwrap_err();
    advance(LIFE).await;
    tokens.give(session("one")).unwrap();
    assert_eq!(tokens.waiting().len(), 1);
}
