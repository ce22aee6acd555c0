//! The engine against real receivers on loopback, with a clock that the tests drive.

mod ages;
mod batching;
mod conservation;
mod credentials;
mod delivering;
mod harness;
mod isolation;
mod misbehaving;
mod pausing;
mod receiver;
mod replaying;
mod retrying;
mod rude;
mod selecting;
mod switching;
