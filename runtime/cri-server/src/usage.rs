//! What pods use, asked of their guests at the same time. Main function: [`of_pods`]. Used by the calls for statistics and metrics.

use std::{sync::Arc, time::Duration};

use pod::{PodPhase, PodUsage};
use tokio::{task::JoinSet, time::timeout};
use tracing::Instrument;

use crate::{node::Node, pods::Known, wall_clock};

/// A pod that has answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) known: Arc<Known>,
    pub(crate) usage: PodUsage,
    /// When its answer was here, in nanoseconds since 1970: a guest's own clock may say anything.
    pub(crate) at_ns: i64,
}

/// Asks one pod; says why there is no answer, unless it was stopped meanwhile.
async fn of_pod(known: Arc<Known>, patience: Duration) -> Option<Answered> {
    let answer = timeout(patience, known.pod.usage()).await;
    let at_ns = wall_clock::now_ns();
    let pod = known.pod.id();
    match answer {
        Ok(Ok(usage)) => Some(Answered {
            known,
            usage,
            at_ns,
        }),
        Ok(Err(_)) if known.pod.status().phase != PodPhase::Running => None,
        Ok(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%pod, error, "a list has no figures of a pod");
            None
        }
        Err(_elapsed) => {
            tracing::warn!(%pod, ?patience, "a list has no figures of a pod: its guest did not answer in time");
            None
        }
    }
}

/// Asks those that run. One that does not answer in time is left out of a list, never an error of it.
pub(crate) async fn of_pods(node: &Node, pods: Vec<Arc<Known>>) -> Vec<Answered> {
    let patience = node.deadlines.usage;
    let mut asked = JoinSet::new();
    let running = |known: &Arc<Known>| known.pod.status().phase == PodPhase::Running;
    for known in pods.into_iter().filter(running) {
        let ask = of_pod(known, patience);
        asked.spawn(ask.in_current_span());
    }
    let answers = asked.join_all().await;
    let mut answers: Vec<Answered> = answers.into_iter().flatten().collect();
    answers.sort_by(|one, other| one.known.pod.id().cmp(other.known.pod.id()));
    answers
}
