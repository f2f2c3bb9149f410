//! The agent's event stream as a bounded channel. Main type: [`Events`]. The contract's order is checked here: a guest that repeats or
//! goes back in its numbers ends the stream.

use agent::agent::Event;
use tokio::sync::mpsc;
use ttrpc::r#async::ClientStreamReceiver;

use crate::limits;

/// Events in order. Ends with the connection; who wants more connects again and asks for those after the last one seen.
#[derive(Debug)]
pub struct Events {
    channel: mpsc::Receiver<Event>,
}

impl Events {
    pub(crate) fn read(stream: ClientStreamReceiver<Event>) -> Self {
        let (sender, channel) = mpsc::channel(limits::EVENTS);
        tokio::spawn(forward(stream, sender));
        Self { channel }
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.channel.recv().await
    }
}

/// Ends when either side does.
async fn forward(mut stream: ClientStreamReceiver<Event>, sender: mpsc::Sender<Event>) {
    let mut last = 0;
    loop {
        let event = tokio::select! {
            event = stream.recv() => event,
            () = sender.closed() => return,
        };
        let Ok(Some(event)) = event else { return };
        if event.sequence <= last {
            tracing::warn!(
                last,
                sequence = event.sequence,
                "the agent's events go back"
            );
            return;
        }
        last = event.sequence;
        if sender.send(event).await.is_err() {
            return;
        }
    }
}
