//! Async tasks on one thread, which switches between them where they wait.

use std::{collections::HashMap, io, sync::Arc};

use tokio::{
    runtime::Builder,
    task::{Id, JoinError, JoinSet},
};

use crate::{
    bodies::{Bodies, Client, tasks},
    plan::Plan,
    stopwatch::Stopwatch,
};

/// Runs all jobs.
pub(crate) fn run(plan: &Plan, watch: &Stopwatch) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(join_all(plan, watch))
}

/// Runs one task per job, as many at a time as the plan has workers.
pub(super) async fn join_all(plan: &Plan, watch: &Stopwatch) -> io::Result<()> {
    let (bodies, client) = (Arc::new(Bodies::new(plan)), Client::new(plan)?);
    let mut waiting = tasks(plan);
    let mut running = JoinSet::new();
    let mut places: HashMap<Id, u32> = HashMap::new();
    let mut free: Vec<u32> = (1..=plan.workers).rev().collect();
    loop {
        while let Some(place) = free.pop() {
            let Some(task) = waiting.next() else { break };
            let (bodies, client) = (Arc::clone(&bodies), client.clone());
            let mut lap = watch.hand_out(task.id, place);
            let spawned = watch.now();
            let handle = running.spawn(async move {
                lap.begin(Some(spawned));
                let answer = bodies.run(&client, task).await;
                lap.end(&answer);
            });
            places.insert(handle.id(), place);
        }
        let Some(ended) = running.join_next_with_id().await else { return Ok(()) };
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                watch.died("task", how(&error));
                error.id()
            }
        };
        free.extend(places.remove(&id));
    }
}

fn how(error: &JoinError) -> &'static str {
    if error.is_panic() { "panic" } else { "cancelled" }
}
