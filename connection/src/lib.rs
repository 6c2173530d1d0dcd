//! What is one connection's work? As a client: one HTTP request per URL, within limits.
//! As a worker of a pool: one request per job. As a backend: everything one accepted client
//! asks for, until it leaves.
//!
//! Reading order: [`client`] is what `connection_bin URL...` does. [`fetch`] makes one
//! [`request`] ([`trust`] says whose certificates count) and [`reply`] tells its answer.
//! [`pool`] does the same for each [`job`] that a supervisor sends. [`session`] is what the same program
//! does for an accepted client, [`routes`] what it answers ([`posts`], [`payload`]), and
//! [`upstream`] those answers on a loopback port, for want of a URL. [`sys`] holds all that
//! is unsafe.

pub mod client;
pub mod fetch;
pub mod job;
pub mod payload;
pub mod pool;
pub mod posts;
pub mod reply;
pub mod request;
pub mod routes;
pub mod session;
pub mod sys;
pub mod trust;
pub mod upstream;
