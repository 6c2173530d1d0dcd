//! `--serve`: metrics, events and the page.

mod page;
mod server;
