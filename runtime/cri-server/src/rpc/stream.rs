//! The lists in pieces: StreamPodSandboxes, StreamContainers, StreamImages. Each message has at least one object, none comes twice.

use tokio_stream::Iter;
use tonic::Status;

use crate::limits;

/// A list that is all there, sent in pieces.
pub(crate) type Pieces<Message> = Iter<std::vec::IntoIter<Result<Message, Status>>>;

/// Makes messages of so many objects each.
pub(crate) fn pieces<Object, Message>(
    objects: Vec<Object>,
    message: impl Fn(Vec<Object>) -> Message,
) -> Pieces<Message> {
    let mut messages = Vec::new();
    let mut objects = objects.into_iter();
    loop {
        let piece: Vec<Object> = objects.by_ref().take(limits::PIECE_OBJECTS).collect();
        if piece.is_empty() {
            return tokio_stream::iter(messages);
        }
        messages.push(Ok(message(piece)));
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_whole_and_none_is_empty() {
        for count in [0, 1, limits::PIECE_OBJECTS, limits::PIECE_OBJECTS + 1, 1000] {
            let all: Vec<usize> = (0..count).collect();
            let pieces: Vec<_> = pieces(all.clone(), |piece| piece).collect().await;
            let pieces: Vec<Vec<usize>> = pieces.into_iter().map(Result::unwrap).collect();
            let good = |piece: &Vec<usize>| (1..=limits::PIECE_OBJECTS).contains(&piece.len());
            assert!(pieces.iter().all(good));
            assert_eq!(pieces.concat(), all);
        }
    }
}
