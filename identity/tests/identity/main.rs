//! Identity resolution through its public face: documented scenarios, streams against a slow reference of the
//! rules, undo, reasons, replays, what is read and written, and the stored values.

mod commands;
mod compare;
mod counting;
mod decisions;
mod epochs;
mod limits;
mod model;
mod properties;
mod reasons;
mod reference;
mod replay;
mod rows;
mod scenarios;
mod shared;
mod stored;
mod support;
mod undo;
mod world;
