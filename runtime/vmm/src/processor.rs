//! A processor's thread. Main function: [`start`]. It runs the guest and lets the board answer what the guest does in between.

use machine::{
    board::{Board, Verdict},
    processor::Processor,
};

use crate::{
    jail::filters::Kind,
    last_words::{Cause, LastWords},
    threads::{self, Gate, ThreadError},
};

/// Starts the thread of a processor; it waits at the gate, under its filter, which is one of the two for processors.
pub(crate) fn start(
    (number, kind): (usize, Kind),
    mut processor: Processor,
    board: Board,
    gate: Gate,
    last_words: LastWords,
) -> Result<(), ThreadError> {
    threads::start(&format!("processor {number}"), kind, move || {
        processor.bind_to_this_thread();
        gate.pass();
        last_words.say(run(&mut processor, &board));
    })
}

/// Runs until the machine is to stop, and says why. The other processors run on until the process ends a moment later.
fn run(processor: &mut Processor, board: &Board) -> Cause {
    loop {
        match processor.run() {
            Ok(exit) => match board.answer(exit) {
                Verdict::Continue => (),
                Verdict::Stop(stop) => return stop.into(),
            },
            Err(error) => return Cause::internal(&error),
        }
    }
}
