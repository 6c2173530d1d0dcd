//! Reads a stream in a thread, so that a test can wait for its content.

use std::{
    io::Read,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

use serde_json::Value;

use super::PATIENCE;

pub(crate) struct Tap(Arc<(Mutex<Stream>, Condvar)>);

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    ended: bool,
}

impl Tap {
    pub(crate) fn new(mut from: impl Read + Send + 'static) -> Self {
        let shared = Arc::<(Mutex<Stream>, Condvar)>::default();
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            loop {
                // A pseudo-terminal ends with an error.
                let length = from.read(&mut piece).unwrap_or(0);
                let mut stream = theirs.0.lock().unwrap();
                stream.bytes.extend_from_slice(&piece[..length]);
                stream.ended = length == 0;
                theirs.1.notify_all();
                if stream.ended {
                    break;
                }
            }
        });
        Self(shared)
    }

    /// Stands for a stream that the test reads itself.
    pub(crate) fn none() -> Self {
        Self(Arc::new((Stream { ended: true, ..Stream::default() }.into(), Condvar::new())))
    }

    /// The text read so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().bytes).into_owned()
    }

    /// Waits until `find` finds something in the text read so far.
    pub(crate) fn until<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = |bytes: &[u8]| find(&String::from_utf8_lossy(bytes));
        self.until_bytes(what, |bytes, _| found(bytes))
    }

    /// Waits for the end of the stream and returns its bytes.
    pub(crate) fn rest(&self) -> Vec<u8> {
        self.until_bytes("the end of the stream", |_, ended| ended.then_some(()));
        std::mem::take(&mut self.0.0.lock().unwrap().bytes)
    }

    /// Waits for this number of bytes.
    pub(crate) fn until_length(&self, length: usize) {
        self.until_bytes("more bytes", |bytes, _| (bytes.len() >= length).then_some(()));
    }

    /// Waits for a record of this type, worker and generation.
    pub(crate) fn record(&self, kind: &str, worker: usize, generation: usize) -> Value {
        let is_it = |record: &Value| {
            record["type"] == kind
                && record["worker"] == worker
                && record["generation"] == generation
        };
        let what = format!("record {kind} w{worker}.{generation}");
        self.until(&what, |text| records(text).into_iter().find(is_it))
    }

    /// Waits until a worker has written this line.
    pub(crate) fn line(&self, worker: usize, line: &str) {
        let is_it = |record: &Value| record["worker"] == worker && record["line"] == line;
        let what = format!("{line:?} of worker {worker}");
        self.until(&what, |text| records(text).into_iter().find(is_it));
    }

    /// Waits for the output of the fixture `report` as this worker.
    pub(crate) fn report(&self, worker: usize) -> Value {
        let is_its = |record: &Value| record["type"] == "output" && record["worker"] == worker;
        self.until("a report", |text| {
            // A long line is split into several records.
            let parts = records(text).into_iter().filter(is_its);
            let parts = parts.map(|record| record["line"].as_str().unwrap().to_owned());
            serde_json::from_str(&parts.collect::<String>()).ok()
        })
    }

    fn until_bytes<T>(&self, what: &str, find: impl Fn(&[u8], bool) -> Option<T>) -> T {
        let begun = Instant::now();
        let mut stream = self.0.0.lock().unwrap();
        loop {
            if let Some(found) = find(&stream.bytes, stream.ended) {
                return found;
            }
            let left = PATIENCE.checked_sub(begun.elapsed()).filter(|_| !stream.ended);
            let Some(left) = left else {
                let text = String::from_utf8_lossy(&stream.bytes).into_owned();
                let why = if stream.ended { "the output ended" } else { "timed out" };
                drop(stream);
                panic!("{why}, waiting for: {what}; the output:\n{text}");
            };
            stream = self.0.1.wait_timeout(stream, left).unwrap().0;
        }
    }
}

/// The records of the complete lines.
pub(crate) fn records(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
