//! Threads that take jobs from one queue, behind a lock and a condition variable.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::{
    bodies::{BlockingClient, Bodies, Task, tasks},
    plan::Plan,
    stopwatch::Stopwatch,
};

/// Jobs that wait for a thread.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    is_closed: bool,
}

impl Queue {
    fn push(&self, task: Task) {
        self.lock().waiting.push_back(task);
        self.changed.notify_one();
    }

    /// Declares that no more tasks will be pushed.
    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits for the next task; `None` once the queue is closed and empty.
    fn pop(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            match state.waiting.pop_front() {
                None if !state.is_closed => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                next => return next,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs all jobs.
pub(crate) fn run(plan: &Plan, watch: &Stopwatch) -> io::Result<()> {
    let (queue, bodies) = (Arc::new(Queue::default()), Arc::new(Bodies::new(plan)));
    let threads = (1..=plan.workers).map(|place| {
        let (queue, bodies) = (Arc::clone(&queue), Arc::clone(&bodies));
        let (plan, watch) = (plan.clone(), watch.clone());
        let spawned = watch.now();
        let work = move || -> io::Result<()> {
            let client = BlockingClient::new(&plan)?;
            let mut spawned = Some(spawned);
            while let Some(task) = queue.pop() {
                let mut lap = watch.hand_out(task.id, place);
                lap.begin(spawned.take());
                let answer = bodies.block(&client, task);
                lap.end(&answer);
            }
            Ok(())
        };
        thread::Builder::new().spawn(work)
    });
    let threads = threads.collect::<io::Result<Vec<_>>>()?;
    tasks(plan).for_each(|task| queue.push(task));
    queue.close();
    for thread in threads {
        match thread.join() {
            Ok(end) => end?,
            Err(_panic) => watch.died("thread", "panic"),
        }
    }
    Ok(())
}
