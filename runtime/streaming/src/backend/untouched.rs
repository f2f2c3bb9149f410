//! A backend of which nothing may be asked, for tests of what comes before it. Main type: [`Untouched`].

use super::{Attach, Backend, Connection, Exec, Process, Refusal};

/// Panics at whatever is asked.
#[derive(Clone)]
pub(crate) struct Untouched;

impl Backend for Untouched {
    async fn exec(&self, exec: Exec) -> Result<Process, Refusal> {
        panic!("{exec:?} was started");
    }

    async fn attach(&self, attach: Attach) -> Result<Process, Refusal> {
        panic!("{attach:?} was attached to");
    }

    async fn dial(&self, sandbox: &str, port: u16) -> Result<Connection, Refusal> {
        panic!("{sandbox}:{port} was dialled");
    }
}
