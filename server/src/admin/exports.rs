//! Exports of people: what is exported, and the part that gives the rows.

use tributary_model::{AudienceId, WorkspaceId};

use super::outside::OutsideError;
use crate::bulk::Row;

/// Who is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    /// The members of an audience.
    Members(AudienceId),
    /// Every live profile.
    Everybody,
}

/// Gives the rows of exports.
pub trait Exports: Send + Sync + 'static {
    /// Begins an export. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or as many exports as may be are under way.
    fn begin(&self, workspace: WorkspaceId, who: Exported) -> Result<Box<dyn ExportRows>, OutsideError>;
}

/// An export under way, as long as it is kept.
pub trait ExportRows: Send {
    /// The next rows, in the order of the profiles' ids; none at the end. Blocking.
    ///
    /// # Errors
    /// If reading fails.
    fn next(&mut self) -> Result<Vec<Row>, OutsideError>;
}
