//! What is one connection's work? As a client: one HTTP request per URL, within limits.
//! As a backend: everything one accepted client asks for, until it leaves.
//!
//! Reading order: [`client`] is what `connection_bin URL...` does and [`fetch`] one of its
//! requests ([`trust`] says whose certificates count). [`session`] is what the same program
//! does for an accepted client, [`routes`] what it answers ([`posts`], [`payload`]), and
//! [`upstream`] those answers on a loopback port, for want of a URL. [`sys`] holds all that
//! is unsafe.

pub mod client;
pub mod fetch;
pub mod payload;
pub mod posts;
pub mod routes;
pub mod session;
pub mod sys;
pub mod trust;
pub mod upstream;
