//! Turns a panic of a job's code into a failure of that job, with the panic's message and place.
//!
//! The previous panic hook still runs, so the usual report still appears on stderr.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

use protocol::wire::{Failure, FailureKind};

thread_local! {
    /// The place of this thread's last panic. Panics of other threads do not belong to the job.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Installs a panic hook that records the place of every panic. Later calls do nothing.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            PLACE.set(panic.location().map(ToString::to_string));
            previous(panic);
        }));
    });
}

/// Runs `code`, and turns a panic into a failure.
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Failure<'static>> {
    // A panic leaves the state of `code` as an error in the same place would, so the next job may
    // use it.
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| Failure {
        kind: FailureKind::Panic,
        message: message(&*payload).into(),
        place: PLACE.take().unwrap_or_default().into(),
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").into()
}
