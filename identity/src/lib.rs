//! Pure identity resolution: which profile an event belongs to, and what the event changes in the graph.
//!
//! [`resolve`](resolve::resolve) takes the identifiers of one event and the graph as it stands, and answers
//! with a [`Resolution`]. The rules are explained in `README.md` beside `src/`.
//!
//! Guarantees: the same events in the same order, under the same rules and hash key, give the same graph,
//! value for value; a profile never goes over a limit that is in force when it changes; every identifier
//! that was ever kept has exactly one live profile; ids of profiles that were merged away keep resolving.
//!
//! Left out: where the graph is stored ([`GraphStore`] is the seam), which identifiers an event carries
//! (`tributary_model::identifier::identifiers_of`), and what events amount to (fragments).

pub mod graph;
pub mod memory;
pub mod merge;
pub mod resolve;

pub use graph::{
    Edge, EdgeKey, EdgeRule, Evidence, GraphStore, Inconsistent, LiveProfile, Node, ProfileRecord, Refusal,
    RefusalReason,
};
pub use memory::MemoryGraph;
pub use merge::follow;
pub use resolve::{Demotion, Resolution, declared, resolve};
