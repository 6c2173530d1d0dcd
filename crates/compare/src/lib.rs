//! Runs the same jobs as processes, threads and async tasks, and reports what each way costs and
//! how many jobs a fault costs in each of them.
//!
//! [`plan`] describes what is compared. Each way runs in a child process (`child`), which is this
//! program in another `role`: either the way in its native form (`ways`), or `supervisor run` and
//! `supervisor each` as users run them. The crate knows the supervisor only as that program. What
//! the children report of their jobs ([`records`]) becomes [`figures`], and those become a
//! [`table`], sentences ([`verdict`]) and a page ([`html`]).

mod bodies;
mod child;
mod crossing;
#[expect(unsafe_code, reason = "one of the faults writes to an invalid address")]
mod faults;
pub mod figures;
pub mod html;
pub mod jsonl;
pub mod machine;

pub mod plan;
pub mod records;
mod role;
mod rounds;
mod start;
mod stopwatch;
pub mod table;
mod upstream;
pub mod verdict;
mod ways;

pub use rounds::{Comparison, Progress, Settings, run};
pub use start::run_if_called;
