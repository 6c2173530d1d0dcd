//! What does it cost and what does it buy to run jobs in processes, and not in threads or async
//! tasks? The same jobs by each way of running them, with the price and the damage side by side.
//!
//! [`plan`] says what is compared. Each way runs in a process of its own (`child`), which is
//! this program under a hidden verb (`part`): in its native form (`ways`), or as the
//! `supervisor` that anybody runs. What is told of the jobs ([`records`]) becomes [`figures`],
//! and those a [`table`], sentences ([`verdict`]) and a page ([`html`]).

mod bodies;
mod child;
mod crossing;
#[expect(unsafe_code, reason = "an invalid address is to be written to")]
mod faults;
pub mod figures;
pub mod html;
pub mod jsonl;
pub mod machine;
mod part;
pub mod plan;
pub mod records;
mod rounds;
mod stopwatch;
pub mod table;
mod upstream;
pub mod verdict;
mod ways;

pub use part::run_if_called;
pub use rounds::{Comparison, Progress, Settings, run};
