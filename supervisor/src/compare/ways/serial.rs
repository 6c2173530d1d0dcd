//! One job after another.

use std::io;

use crate::compare::{
    bodies::{BlockingClient, Bodies, tasks},
    plan::Plan,
    stopwatch::Stopwatch,
};

/// Does all jobs.
pub(in crate::compare) fn run(plan: &Plan, watch: &Stopwatch) -> io::Result<()> {
    let (bodies, client) = (Bodies::new(plan), BlockingClient::new(plan)?);
    for task in tasks(plan) {
        let mut lap = watch.give(task.id, 1);
        lap.begin(None);
        let answer = bodies.block(&client, task);
        lap.end(&answer);
    }
    Ok(())
}
