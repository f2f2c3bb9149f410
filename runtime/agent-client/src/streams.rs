//! Opens the streams of processes. Beside `call`, whose handle it is on; below: `output`, `stdin`.

use agent::stdio::HELD;

use crate::{
    Agent, AgentError, Output, output::OutputStream, request::ProcessRef, stdin::StdinSink,
};

impl Agent {
    /// A process's output from `offset` on.
    ///
    /// # Errors
    /// [`AgentError::NotFound`] when the agent refuses, with its reason.
    pub async fn open_output(
        &self,
        process: &ProcessRef,
        output: Output,
        offset: u64,
    ) -> Result<OutputStream, AgentError> {
        OutputStream::open(&self.connector, process, output, offset).await
    }

    /// A process's output from the first byte on that the agent holds: for a caller that kept no offset.
    ///
    /// # Errors
    /// [`AgentError::NotFound`] when the agent refuses, with its reason.
    pub async fn open_held_output(
        &self,
        process: &ProcessRef,
        output: Output,
    ) -> Result<OutputStream, AgentError> {
        OutputStream::open(&self.connector, process, output, HELD).await
    }

    /// A process's standard input; `offset` is the first byte that the caller would send. [`StdinSink::offset`] says which one the
    /// agent wants, never a later one.
    ///
    /// # Errors
    /// [`AgentError::NotFound`] when the agent refuses, with its reason.
    pub async fn open_stdin(
        &self,
        process: &ProcessRef,
        offset: u64,
    ) -> Result<StdinSink, AgentError> {
        StdinSink::open(&self.connector, process, offset).await
    }
}
