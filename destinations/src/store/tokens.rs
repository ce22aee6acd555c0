//! Refresh tokens where they are stored: of each destination the newest one, sealed. The value is the sealed text.

use super::{Store, StoreError};
use crate::config::Key;
use fjall::PersistMode;

impl Store {
    /// The refresh token that is kept of a destination, as it was given to [`Store::keep_refresh_token`].
    pub(crate) fn refresh_token(&self, key: Key) -> Result<Option<String>, StoreError> {
        let Some(value) = self.tables.tokens.get(key.prefix())? else { return Ok(None) };
        String::from_utf8(value.to_vec()).map(Some).map_err(|_| StoreError::Damaged("refresh token"))
    }

    /// Keeps a refresh token in the place of the last one, durably.
    pub(crate) fn keep_refresh_token(&self, key: Key, sealed: &str) -> Result<(), StoreError> {
        let mut batch = self.tables.db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.tables.tokens, key.prefix(), sealed);
        Ok(batch.commit()?)
    }
}
