//! Files in storage that speaks the protocol of Amazon S3.
//!
//! A request writes a whole file under a name that its payloads decide (see [`key`]), so that an attempt can be
//! repeated. There is no other state: files are not read, added to or deleted.

mod connector;
mod errors;
mod format;
mod key;
mod ndjson;
mod parquet;
mod settings;

#[cfg(all(test, feature = "real-components"))]
mod real;
#[cfg(test)]
mod tests;

use self::connector::{Answer, Connector, Note};
use self::errors::{Asked, verdict};
use self::format::Encoded;
use self::settings::Settings;
use super::{Called, Person, Transport, TransportParts};
use crate::connect::{InboundResponse, Masker, Whole};
use crate::definition::{RawSettings, SettingsError, Spec};
use crate::exchange::{Exchange, Payload, RequestRecord, ResponseRecord, Verdict};
use crate::failure::{Failure, Reason};
use futures_util::future::BoxFuture;
use memchr::memmem;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, PutOptions, RetryConfig};
use tributary_model::Timestamp;

/// What stands in the list of a bucket's files.
const LIST_OF_FILES: &[u8] = b"<ListBucketResult";

/// A bucket, and how files are put there.
pub(super) struct ObjectStorage {
    settings: Settings,
    store: AmazonS3,
    masker: Masker,
    response_bytes: usize,
}

impl ObjectStorage {
    /// The storage of these settings.
    ///
    /// # Errors
    /// The first setting that can't be used.
    pub(super) fn new(
        spec: &'static Spec,
        settings: &RawSettings,
        parts: &TransportParts,
    ) -> Result<Self, SettingsError> {
        let masker = Masker::of_settings(spec, settings);
        let settings = Settings::read(spec, settings)?;
        let connector = Connector {
            outbound: parts.outbound.clone(),
            timeout: parts.timeout,
            response_bytes: parts.response_bytes,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_access_key_id(&settings.access_key_id)
            .with_secret_access_key(&settings.secret_access_key)
            // With "virtual hosting" the endpoint is taken for the bucket's URL as it stands, which it is here.
            .with_endpoint(&settings.bucket_url)
            .with_virtual_hosted_style_request(true)
            // Buckets with object lock take no file without one.
            .with_checksum_algorithm(Checksum::SHA256)
            // The engine decides when to try again.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(connector);
        if let Some(token) = &settings.session_token {
            builder = builder.with_token(token);
        }
        let refused = |_| SettingsError::new("endpoint", "can't be used with this bucket and region");
        let store = builder.build().map_err(refused)?;
        Ok(Self { settings, store, masker, response_bytes: parts.response_bytes })
    }

    fn path(&self, payloads: &[Payload]) -> Result<Path, Failure> {
        let refused = |_| Failure::new(Reason::InvalidRequest, "the file can't have that name: check prefix");
        self.settings.place.path(payloads).map_err(refused)
    }

    /// Makes the file, on a thread where that may take its time.
    async fn encode(&self, payloads: &[Payload]) -> Result<Encoded, Failure> {
        let (format, payloads) = (self.settings.format, payloads.to_vec());
        match tokio::task::spawn_blocking(move || format.encode(&payloads)).await {
            Ok(encoded) => encoded,
            // It is never cancelled while somebody waits for it.
            Err(broken) => std::panic::resume_unwind(broken.into_panic()),
        }
    }

    async fn put(&self, path: &Path, file: Encoded, at: Timestamp) -> Answer {
        let note = Note::new(at);
        let options = PutOptions {
            attributes: Attributes::from_iter([(Attribute::ContentType, self.settings.format.media_type())]),
            extensions: note.extensions(),
            ..PutOptions::default()
        };
        // The note knows more than the client's result.
        let _ = self.store.put_opts(path, file.bytes.into(), options).await;
        note.answer()
    }

    async fn write(&self, payloads: &[Payload], at: Timestamp) -> Result<Exchange, Verdict> {
        // The next file would fare no better, so nothing is given up.
        let path = self.path(payloads).map_err(Verdict::Credentials)?;
        let mut file = self.encode(payloads).await.map_err(Verdict::Credentials)?;
        let refused = std::mem::take(&mut file.refused);
        let (response, common) = if refused.len() == payloads.len() {
            (None, Verdict::Delivered)
        } else {
            let answer = self.put(&path, file, at).await;
            (self.record(&answer), verdict(Asked::Put, &answer, &self.masker))
        };
        let mut verdicts = vec![common; payloads.len()];
        for (index, failure) in refused {
            verdicts[index] = Verdict::Rejected(failure);
        }
        // Only what can't stand in a file is ever rejected, and that is found one by one.
        Ok(Exchange { response, verdicts, by_item: true })
    }

    /// What is remembered of an answer.
    fn record(&self, answer: &Answer) -> Option<ResponseRecord> {
        let answer = answer.as_ref().ok()?;
        let whole = if answer.is_whole { Whole::Given } else { Whole::Unread };
        let body = self.masker.beginning(&answer.body, whole, self.response_bytes);
        Some(ResponseRecord { status: Some(answer.status), body })
    }

    /// Asks for the name of one file below the prefix: it tells whether there is such a bucket, and whether the key is
    /// good.
    async fn list(&self, at: Timestamp) -> Called {
        let prefix = self.settings.place.folder_prefix();
        let note = Note::new(at);
        let options = PaginatedListOptions {
            max_keys: Some(1),
            extensions: note.extensions(),
            ..PaginatedListOptions::default()
        };
        let _ = self.store.list_paginated(prefix.as_deref(), options).await;
        let answer = note.answer();
        let is_list = |answer: &InboundResponse| memmem::find(&answer.body, LIST_OF_FILES).is_some();
        let verdict = match (verdict(Asked::List, &answer, &self.masker), &answer) {
            (Verdict::Delivered, Ok(answer)) if !is_list(answer) => {
                let text = "the answer is a success, but not the list of a bucket: check endpoint";
                Verdict::Rejected(Failure::new(Reason::UnreadableAnswer, text))
            }
            (verdict, _) => verdict,
        };
        let prefix = prefix.map(|prefix| format!("&prefix={prefix}")).unwrap_or_default();
        let request = RequestRecord {
            method: "GET".into(),
            target: self.masker.text(&format!("{}?list-type=2{prefix}&max-keys=1", self.settings.bucket_url)),
            ..RequestRecord::default()
        };
        Called { request, response: self.record(&answer), verdict }
    }
}

impl Transport for ObjectStorage {
    /// The span of time that the payload's folder holds.
    fn part(&self, payload: &Payload) -> u64 {
        self.settings.place.partition.number(payload.received_at).cast_unsigned()
    }

    /// The bytes that it counts are those before compression.
    fn describe(
        &self,
        payloads: &[Payload],
        _at: Timestamp,
        body_bytes: usize,
    ) -> Result<RequestRecord, Failure> {
        let path = self.path(payloads)?;
        let shown = self.settings.format.shown(payloads, body_bytes);
        Ok(RequestRecord {
            method: "PUT".into(),
            target: self.masker.text(&format!("{}/{path}", self.settings.bucket_url)),
            headers: vec![("content-type".into(), self.settings.format.media_type().into())],
            body: self.masker.beginning(&shown.text, shown.whole, body_bytes),
            body_bytes: shown.bytes,
        })
    }

    fn send<'a>(&'a self, payloads: &'a [Payload], at: Timestamp) -> BoxFuture<'a, Exchange> {
        Box::pin(async move {
            let written = self.write(payloads, at).await;
            written.unwrap_or_else(|verdict| Exchange::unanswered(&verdict, payloads.len()))
        })
    }

    fn test(&self, at: Timestamp) -> Option<BoxFuture<'_, Called>> {
        Some(Box::pin(self.list(at)))
    }

    /// Files are not rewritten.
    fn delete<'a>(&'a self, _person: &'a Person, _at: Timestamp) -> Option<BoxFuture<'a, Called>> {
        None
    }
}
