//! Pure identity resolution: which profile an event belongs to, what the event changes in the graph, why two
//! identifiers are one person, and how what was joined is parted again.
//!
//! [`resolve()`] takes the identifiers of one event and the graph as it stands, and answers
//! with a [`Resolution`]. The rules are explained in `README.md` beside `src/`.
//!
//! Guarantees: the same events and commands in the same order, under the same rules and hash key, give the same graph,
//! value for value; a profile never goes over a limit that is in force when it changes; every identifier
//! that was ever kept has exactly one live profile; ids of profiles that were merged away keep resolving; no profile
//! holds identifiers of two sides of a partition.
//!
//! Left out: where the graph is stored ([`GraphStore`] is the seam), which identifiers an event carries
//! (`tributary_model::identity_rules`), and what events amount to (fragments).

mod decide;
mod explain;
mod graph;
mod hand;
mod history;
mod limits;
mod memory;
mod merge;
mod overlay;
mod partition;
mod paths;
mod replay;
mod resolve;
mod scope;
mod sides;
mod sign_in;
mod store;
mod unmerge;

pub use explain::{Apart, Explanation, explain};
pub use graph::{
    Anchored, Cap, Edge, EdgeKey, EdgeRule, Evidence, Happened, HistoryEntry, Inconsistent, LiveProfile,
    Node, ProfileRecord, Refusal, RefusalReason,
};
pub use hand::{HandedOver, hand_over};
pub use history::{HistoryRow, Row, history};
pub use memory::MemoryGraph;
pub use merge::{current_node, find, follow};
pub use overlay::Overlay;
pub use partition::{Partition, Partitions};
pub use paths::Step;
pub use replay::{Dated, Item, item_of_edge, item_of_refusal, item_order, items_of_node, take_items};
pub use resolve::{Context, Demotion, Resolution, nodes_of, resolve};
pub use sides::{CommandRefused, RefusedKind};
pub use store::{GraphRead, GraphStore};
pub use unmerge::{Decision, Joined, Ordered, Retake, Unmerged, unmerge};
