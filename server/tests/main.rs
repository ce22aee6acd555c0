//! The whole server, driven from outside: the real binary, real HTTP, real files.

mod crash;
mod data_map;
mod faces;
mod grpc;
mod harness;
mod identity;
mod identity_rules;
mod kafka;
mod lifecycle;
