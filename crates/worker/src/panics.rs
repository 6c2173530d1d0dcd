//! What became of a job whose code panicked? The panic is caught, with its message and its place;
//! whoever else listens for panics (stderr, as a rule) hears of it all the same.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

use protocol::wire::{Failure, FailureKind};

thread_local! {
    /// Where this thread panicked last. Of a thread's own, since a panic elsewhere is not the job's.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Listens for the place of every panic from now on.
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

/// Runs `code`; a panic of it is a failure.
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Failure<'static>> {
    // What the code left half done is its own: the next job finds it as an error would leave it.
    catch_unwind(AssertUnwindSafe(code)).map_err(|what| Failure {
        kind: FailureKind::Panic,
        message: message(&*what).into(),
        place: PLACE.take().unwrap_or_default().into(),
    })
}

fn message(what: &(dyn Any + Send)) -> String {
    let text = what.downcast_ref::<&str>().copied();
    let text = text.or_else(|| what.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").into()
}
