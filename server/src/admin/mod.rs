//! The admin API under `/admin/v1`: sources, definitions, destinations with their tries, replays and deliveries, tokens,
//! workspaces, the workspace as one document, its history, identity rules with their previews and rebuilds, audiences,
//! computed traits, rules of traits, people, exports, alarms, rejects, dead letters, snapshots.
//!
//! A token acts on its own workspace only; the first token may also create, change and delete workspaces. Every
//! change is a new version of the workspace, durable before it is answered. Secrets are never returned.

pub mod audience_preview;
pub mod audiences;
pub mod auth;
pub mod destinations;
mod document;
pub mod dto;
mod edit;
pub mod error;
pub mod exports;
pub mod identity;
pub mod openapi;
pub mod outside;
pub mod people;
mod request;
mod routes;
mod settings;

pub use edit::Editor;
pub use routes::routes;
pub use settings::{MASK, unsealed};

use crate::workspaces::WorkspaceStore;
use outside::Outside;

/// The path under which everything is.
pub const PREFIX: &str = "/admin/v1";

/// What the admin API works on.
pub struct Admin {
    store: WorkspaceStore,
    editor: Editor,
    outside: Outside,
}

impl Admin {
    /// Puts the parts together.
    pub fn new(store: WorkspaceStore, editor: Editor, outside: Outside) -> Self {
        Self { store, editor, outside }
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Admin({:?})", self.store)
    }
}

#[cfg(test)]
mod tests;
