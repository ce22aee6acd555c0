//! What audiences cost, measured within this process.

mod alone;
pub(crate) mod events;
mod log;
pub(crate) mod preview;
mod running;
mod shop;
pub(crate) mod timers;
mod workspace;
