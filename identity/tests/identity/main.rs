//! Identity resolution through its public face: documented scenarios, properties against a slow reference,
//! what is read and written, and the stored values.

mod counting;
mod properties;
mod reference;
mod scenarios;
mod stored;
mod support;
