//! Values as people read them: short ids, ages, times, states. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cri::v1::{ContainerState, PodSandboxState};

/// Characters of an id that is shown, unless more are needed to tell it from the others.
const SHORT_ID: usize = 12;

/// How many characters tell all these ids apart.
pub(super) fn id_length<'a>(ids: impl Iterator<Item = &'a str>) -> usize {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let pairs = ids.iter().zip(ids.iter().skip(1));
    let needed = pairs.map(|(one, next)| 1 + common(one, next)).max();
    needed.unwrap_or(0).max(SHORT_ID)
}

fn common(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes());
    same.take_while(|(one, other)| one == other).count()
}

pub(super) fn short(id: &str, length: usize) -> String {
    id.chars().take(length).collect()
}

/// How long ago, in the two largest units at most, as kubectl has it.
pub(super) fn age(created_at_ns: i64, now: SystemTime) -> String {
    let created = UNIX_EPOCH + nanoseconds(created_at_ns);
    let seconds = now.duration_since(created).unwrap_or_default().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (2.., ..) => format!("{days}d"),
        (_, 3.., _) => format!("{hours}h"),
        (_, 1.., _) => format!("{hours}h{}m", minutes % 60),
        (_, _, 3..) => format!("{minutes}m"),
        _ => format!("{seconds}s"),
    }
}

/// A moment as RFC 3339 has it; nothing for one that has not come.
pub(super) fn moment(ns: i64) -> Option<String> {
    let time = UNIX_EPOCH + nanoseconds(ns);
    (ns > 0).then(|| humantime::format_rfc3339_millis(time).to_string())
}

/// Before 1970 is 1970.
fn nanoseconds(ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(0))
}

pub(super) fn sandbox_state(state: PodSandboxState) -> &'static str {
    match state {
        PodSandboxState::SandboxReady => "Ready",
        PodSandboxState::SandboxNotready => "NotReady",
    }
}

pub(super) fn container_state(state: ContainerState) -> &'static str {
    match state {
        ContainerState::ContainerCreated => "Created",
        ContainerState::ContainerRunning => "Running",
        ContainerState::ContainerExited => "Exited",
        ContainerState::ContainerUnknown => "Unknown",
    }
}
