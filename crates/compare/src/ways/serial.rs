//! One job after another.

use std::io;

use crate::{
    bodies::{BlockingClient, Bodies, tasks},
    plan::Plan,
    stopwatch::Stopwatch,
};

/// Runs all jobs.
pub(crate) fn run(plan: &Plan, watch: &Stopwatch) -> io::Result<()> {
    let (bodies, client) = (Bodies::new(plan), BlockingClient::new(plan)?);
    for task in tasks(plan) {
        let mut lap = watch.hand_out(task.id, 1);
        lap.begin(None);
        let answer = bodies.block(&client, task);
        lap.end(&answer);
    }
    Ok(())
}
