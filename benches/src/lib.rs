//! The load generator: drives a server as its clients do, and says what that cost.
//!
//! It reads what the server is from outside: answers, `/metrics`, and the process's own figures in `/proc`. So it
//! measures any build of the product, and runs on Linux only. It shares the machine with what it measures, so it
//! spends little itself and reports how much.
//!
//! Some commands measure the product from within, at sizes that no server would be filled to: [`cli`]'s `identity`,
//! `preview` and `audiences`.
//!
//! The Criterion benches beside it measure single functions; they take their events from [`events`].

mod audiences;
pub mod cli;
mod deliveries;
pub mod events;
mod identity;
mod load;
pub mod population;
mod template;
