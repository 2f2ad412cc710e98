//! The threads that requests and their connections live on.
//!
//! A receiver can make an answer cost all of a thread's time for as long as the deadline: interim responses
//! (103 Early Hints) without end are read and passed over in one go, hundreds of milliseconds at a time. So nothing
//! of a stranger's is read on the threads that serve and commit; those have their share from the system's
//! scheduler, and deadlines are kept by them.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// More than cores: an endpoint that takes all that it gets takes two (`dispatch::slots`), and some must be left to
/// the others.
const COUNT: usize = 16;

/// A runtime that starts with the first request and ends with the last clone of what holds it, waiting for nobody.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads(Arc<Started>);

#[derive(Debug, Default)]
struct Started(OnceLock<Option<Runtime>>);

impl Threads {
    /// Runs a request there. Dropping the answer cancels it.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        request: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        let started = self.0.0.get_or_init(|| {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(COUNT).thread_name("outbound").enable_all().build();
            runtime.inspect_err(|error| tracing::error!(%error, "no threads for requests")).ok()
        });
        // Where the system gives no more threads, those that there are have to do.
        let handle = started.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone());
        AbortOnDropHandle::new(handle.spawn(request))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(Some(runtime)) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
