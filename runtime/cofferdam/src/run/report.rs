//! What `run` says on standard error: why it failed, and where the time went.

use std::{
    io::{self, Write},
    time::Duration,
};

use model::Stage;
use pod::Running;

/// The whole chain of an error.
pub(super) fn error(error: &anyhow::Error) {
    line(&format!("cofferdam: {error:#}"));
}

/// One line, or several; `\r\n` because the terminal may be raw.
pub(super) fn line(text: &str) {
    let text = text.replace('\n', "\r\n");
    // Standard error that is gone takes no message.
    drop(write!(io::stderr().lock(), "{text}\r\n"));
}

/// Where the time of a run went.
#[derive(Debug)]
pub(super) struct Timings {
    pub(super) image: Duration,
    pub(super) stages: Vec<Stage>,
    pub(super) launch: Running,
    pub(super) container: Duration,
    pub(super) teardown: Duration,
}

impl Timings {
    /// A table; rows under a row are counted from the monitor's exec.
    pub(super) fn table(&self) -> String {
        let mut text = String::from("timings:");
        let mut row = |name: &str, took: Duration| {
            text.push_str(&format!(
                "
  {:>9.1} ms  {name}",
                took.as_secs_f64() * 1e3
            ));
        };
        row("image resolved", self.image);
        for (index, stage) in self.stages.iter().enumerate() {
            row(&stage.name, stage.took);
            if index == 0 {
                row("    exec to message read", micros(self.launch.message_us));
                row("    exec to jail shut", micros(self.launch.jailed_us));
                row(
                    "    exec to machine assembled",
                    micros(self.launch.assembled_us),
                );
                row(
                    "    exec to processors running",
                    micros(self.launch.running_us),
                );
            }
        }
        let start: Duration = self.stages.iter().map(|stage| stage.took).sum();
        row("start, in all", start + self.image);
        row("container ran", self.container);
        row("torn down", self.teardown);
        text
    }
}

fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}
