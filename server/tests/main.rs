//! The whole server, driven from outside: the real binary, real HTTP, real files.

mod crash;
mod data_map;
mod faces;
mod harness;
mod lifecycle;
