//! The collector's work without its logs, for those who measure it.

use super::Collector;
use crate::error::IngestError;
use crate::metrics::Endpoint;

impl Collector {
    /// Does to the body of a batch whatever is done before something is stored (authenticate, normalize, check,
    /// encode) and stores nothing. How many events would be accepted, and how many set aside.
    ///
    /// # Errors
    /// Why the request would be refused whole.
    pub fn dry_run(&self, write_key: &str, body: &[u8]) -> Result<(usize, usize), IngestError> {
        let source = self.write_keys.authenticate(write_key)?;
        let prepared = self.prepare(Endpoint::Batch, Some(source), self.arrival_time(), body)?;
        Ok((prepared.records.len(), prepared.rejects.len()))
    }
}
