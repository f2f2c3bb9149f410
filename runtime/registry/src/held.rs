//! The store's intake in async hands: it is opened and closed on blocking threads, for both wait for locks and the end
//! removes files.
//!
//! Main type: [`HeldIntake`]. Used by `pull` and `flight`.

use std::ops::Deref;
use std::sync::Arc;

use images::{Intake, Reference, Store};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::error::PullError;

/// An intake that whoever drops it last gives to a blocking thread.
#[derive(Debug)]
pub(crate) struct HeldIntake {
    /// There until the drop.
    intake: Option<Intake>,
}

impl HeldIntake {
    pub(crate) async fn open(store: &Store, name: &Reference) -> Result<Arc<Self>, PullError> {
        let store = store.clone();
        let origin = name.to_string();
        // Whoever goes away meanwhile leaves it to that thread, which drops it.
        let opened = spawn_blocking(move || store.intake(&origin)).await;
        let intake = opened.map_err(|_panic| PullError::Broken)??;
        Ok(Arc::new(Self {
            intake: Some(intake),
        }))
    }
}

impl Deref for HeldIntake {
    type Target = Intake;

    fn deref(&self) -> &Intake {
        self.intake.as_ref().expect("only the drop takes it away")
    }
}

impl Drop for HeldIntake {
    fn drop(&mut self) {
        let intake = self.intake.take();
        // Without a runtime, or in one that ends, this thread has to do it.
        if let Ok(handle) = Handle::try_current() {
            handle.spawn_blocking(move || drop(intake));
        }
    }
}
