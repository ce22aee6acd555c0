//! The part of the server that runs destinations, as the admin API works with it.

use futures_util::future::BoxFuture;
use tributary_destinations::deliveries::DeliveryQuery;
use tributary_destinations::engine::{CallReport, PreviewError, PreviewOrder, PreviewReport};
use tributary_destinations::overview::Step;
use tributary_destinations::replay::ReplayOrder;
use tributary_destinations::{DestinationConfig, DestinationStatus, Person, SettingsError};
use tributary_model::{DestinationId, ErrorCode, Timestamp, Workspace, WorkspaceId};

use super::queries::{DeliveryRow, OverviewView};
use super::replays::ReplayView;
use crate::admin::edit::invalid_at;
use crate::admin::error::ApiError;
use crate::admin::outside::{OutsideError, Rows};
use crate::admin::settings;

/// Why something could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The engine says why.
    #[error(transparent)]
    Refused(#[from] PreviewError),
    /// A part of what is wanted can't be used.
    #[error(transparent)]
    Unusable(SettingsError),
    /// The part has no answer.
    #[error(transparent)]
    Outside(#[from] OutsideError),
}

impl From<TrialError> for ApiError {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Outside(error) => error.into(),
            TrialError::Unusable(error) | TrialError::Refused(PreviewError::Settings(error)) => {
                settings::unusable(&error).into()
            }
            TrialError::Refused(PreviewError::Event(message)) => {
                invalid_at("event", &format!(": {message}")).into()
            }
            TrialError::Refused(error @ PreviewError::NotFound) => Self::not_found(error.to_string()),
            TrialError::Refused(error @ PreviewError::Log(_)) => {
                Self::new(ErrorCode::Unavailable, error.to_string()).retry_after(5)
            }
            TrialError::Refused(error @ PreviewError::Lost) => Self::internal(&error),
        }
    }
}

/// What is being tried.
pub type Trial<T> = BoxFuture<'static, Result<T, TrialError>>;

/// Runs destinations, and remembers what became of deliveries.
pub trait Destinations: Send + Sync + 'static {
    /// How a destination is doing; `None` as long as that is not known.
    fn status(&self, workspace: WorkspaceId, destination: DestinationId) -> Option<DestinationStatus>;

    /// The share of the activations' retention, from 0 to 1, that is used by what a destination still needs; 0 as long as
    /// that is not known.
    fn retention_used(&self, workspace: WorkspaceId, destination: DestinationId) -> f64;

    /// Tries an event.
    fn preview(&self, config: DestinationConfig, order: PreviewOrder) -> Trial<PreviewReport>;

    /// Makes the test call of a definition; `None` if it has none.
    fn test(&self, config: DestinationConfig) -> Trial<Option<CallReport>>;

    /// Deletes a person at the receiver; `None` if the definition can't.
    fn delete_person(&self, config: DestinationConfig, person: Person) -> Trial<Option<CallReport>>;

    /// Ends a pause; false if the destination is not known.
    ///
    /// # Errors
    /// If the part is not ready.
    fn resume(&self, workspace: WorkspaceId, destination: DestinationId) -> Result<bool, OutsideError>;

    /// Begins a replay. Its error is [`OutsideError::Busy`] while another one of the destination runs; for a dry run: another
    /// dry run.
    fn start_replay(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        order: ReplayOrder,
    ) -> Trial<ReplayView>;

    /// The replays of a destination, newest first. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or reading fails.
    fn replays(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
    ) -> Result<Vec<ReplayView>, OutsideError>;

    /// Tells a replay to stop; false if there is none of that number that runs.
    fn cancel_replay(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        replay: u64,
    ) -> BoxFuture<'static, Result<bool, OutsideError>>;

    /// Deliveries of which something is remembered, newest first; if an event is asked for and nothing else, also those of
    /// which nothing is: what became of the event at each destination. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or reading fails.
    fn deliveries(
        &self,
        workspace: &Workspace,
        query: &DeliveryQuery,
    ) -> Result<Rows<DeliveryRow>, OutsideError>;

    /// What went through a destination in a time. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or reading fails.
    fn overview(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        times: (Timestamp, Timestamp),
        step: Step,
    ) -> Result<OverviewView, OutsideError>;

    /// The time by which all of that is told.
    fn time(&self) -> Timestamp;
}
