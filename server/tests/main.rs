//! The whole server, driven from outside: the real binary, real HTTP, real files.

mod accounts;
mod audience_preview;
mod audiences;
mod bulk;
mod crash;
mod data_map;
mod delivery_kills;
mod delivery_toggling;
mod destinations;
mod faces;
mod grpc;
mod grpc_profiles;
mod harness;
mod identity;
mod identity_rules;
mod item_receiver;
mod kafka;
mod lifecycle;
mod profile_api;
