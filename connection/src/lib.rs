//! The work of one connection, in three modes:
//!
//! - as a client ([`client`]): one HTTP request per URL of the command line, within limits;
//! - as a worker of a pool ([`pool`]): one request per [`job`];
//! - as a backend ([`session`]): all requests of one accepted client, until it leaves.
//!
//! Client and worker make a [`request`] with [`fetch`], where [`trust`] selects the trusted
//! certificates, and format the answer with [`reply`]. A backend answers with [`routes`], from
//! [`posts`] and [`payload`]; [`upstream`] serves the same routes on a loopback port for a client
//! without a URL. [`sys`] holds all unsafe code.

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
