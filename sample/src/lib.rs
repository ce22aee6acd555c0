//! A shop's day: a seeded stream of tracking calls whose true person is known.
//!
//! [`Day`] is an iterator over the calls of a web shop, its iOS app and its stores, in the order in which a
//! sender has to post them. The same [`Config`] always gives the same bytes. It holds one wave of some forty
//! parties at a time, so a day of millions of people needs no more memory than one of three hundred.
//!
//! [`Crowd`] is another stream, of weeks instead of a day, whose people make identity hard: they share kiosks, phones,
//! addresses and numbers. Nothing is foretold about it; it is for measuring how well profiles meet people.
//!
//! Every call knows whose it really is ([`Call::person`]), and [`Day::expectation`] says what the default
//! identity rules (one `user_id`, five `email` and five `anonymous_id` a profile, in that order of priority)
//! make of the day: how many events are distinct, how many profiles are left, how many of them are repeat buyers,
//! and how one of them looks. That follows from how each scenario lays out its identifiers, and is reasoned beside
//! each in `scenario.rs`.
//! Nothing here resolves identifiers, and the crate depends on no other of the project.
//!
//! Left out: sending. Calls hold no `sentAt`, which is a sender's to add.

mod body;
mod buyers;
mod call;
mod catalog;
mod crowd;
mod day;
mod expectation;
mod party;
mod person;
mod scenario;

pub use call::{Call, CallKind, Channel, Sending};
pub use crowd::{Circumstance, Crowd, CrowdCall, CrowdConfig};
pub use day::{Config, Day};
pub use expectation::{Example, Expectation};
