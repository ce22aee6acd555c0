//! The settings as the transport uses them.

use super::format::Format;
use super::key::{Partition, Place};
use crate::definition::{RawSettings, SettingsError, Spec};
use crate::settings::{switch, text, url};
use object_store::path::Path;
use std::fmt;
use url::Host;

/// The longest prefix. The names of files have 1024 bytes at most, and end with a folder and a delivery's id.
const PREFIX_BYTES_MAX: usize = 512;

/// The settings as the transport uses them.
pub(super) struct Settings {
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
    /// The URL of the bucket, without a slash behind it.
    pub(super) bucket_url: String,
    pub(super) format: Format,
    pub(super) place: Place,
}

/// Shows no keys.
impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Settings({}, {:?}, {:?})", self.bucket_url, self.format, self.place)
    }
}

impl Settings {
    /// What these settings say, whose values have the types that the definition says.
    ///
    /// # Errors
    /// The first that does not fit the others, or can't be used as it is.
    pub(super) fn read(spec: &Spec, given: &RawSettings) -> Result<Self, SettingsError> {
        let read = Reader { spec, given };
        let bucket = read.required("bucket")?;
        let region = read.required("region")?;
        let format = read.format()?;
        let prefix = read.prefix()?;
        let partition = match read.text("partition")? {
            Some("day") => Partition::Day,
            Some(_) | None => Partition::Hour,
        };
        Ok(Self {
            bucket_url: read.bucket_url(bucket, region)?,
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            access_key_id: read.required("access_key_id")?.to_owned(),
            secret_access_key: read.required("secret_access_key")?.to_owned(),
            session_token: read.text("session_token")?.map(str::to_owned),
            format,
            place: Place { prefix, partition, ending: format.ending() },
        })
    }
}

/// Settings with the definition's own values where nothing is given.
struct Reader<'a> {
    spec: &'a Spec,
    given: &'a RawSettings,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &str) -> Result<Option<&'a str>, SettingsError> {
        text(self.spec, self.given, name)
    }

    fn required(&self, name: &str) -> Result<&'a str, SettingsError> {
        self.text(name)?.ok_or_else(|| SettingsError::new(name, "is required"))
    }

    fn format(&self) -> Result<Format, SettingsError> {
        match (self.text("format")?, self.text("compression")?) {
            (Some("parquet"), Some("gzip")) => {
                Err(SettingsError::new("compression", "must be none: parquet files are compressed within"))
            }
            (Some("parquet"), _) => Ok(Format::Parquet),
            (_, Some("gzip")) => Ok(Format::NdjsonGzip),
            (_, _) => Ok(Format::Ndjson),
        }
    }

    fn prefix(&self) -> Result<String, SettingsError> {
        let prefix = self.text("prefix")?.unwrap_or_default().trim_matches('/');
        if prefix.len() > PREFIX_BYTES_MAX {
            return Err(SettingsError::new(
                "prefix",
                format!("must have at most {PREFIX_BYTES_MAX} characters"),
            ));
        }
        let refused =
            |_| SettingsError::new("prefix", "must be names with slashes between them, none of them . or ..");
        Path::parse(prefix).map(|path| path.to_string()).map_err(refused)
    }

    fn bucket_url(&self, bucket: &str, region: &str) -> Result<String, SettingsError> {
        let path_style = switch(self.spec, self.given, "path_style")?;
        let Some(endpoint) = url(self.spec, self.given, "endpoint")? else {
            // The certificate of Amazon's hosts holds for one name before them, and a dot would make it two.
            return Ok(if path_style.unwrap_or(bucket.contains('.')) {
                format!("https://s3.{region}.amazonaws.com/{bucket}")
            } else {
                format!("https://{bucket}.s3.{region}.amazonaws.com")
            });
        };
        let bare = endpoint.username().is_empty()
            && endpoint.password().is_none()
            && endpoint.query().is_none()
            && endpoint.fragment().is_none()
            && endpoint.path().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
        if !bare {
            let message =
                "must be a URL without user, password, query and fragment, of plain letters and digits";
            return Err(SettingsError::new("endpoint", message));
        }
        if path_style.unwrap_or(true) {
            return Ok(format!("{}/{bucket}", endpoint.as_str().trim_end_matches('/')));
        }
        let Some(Host::Domain(host)) = endpoint.host() else {
            let message = "must be on: an endpoint that is an address can't have the bucket before it";
            return Err(SettingsError::new("path_style", message));
        };
        let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(format!("{}://{bucket}.{host}{port}{}", endpoint.scheme(), endpoint.path().trim_end_matches('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{settings, spec};
    use super::*;
    use serde_json::json;

    #[test]
    fn the_bucket_is_before_the_host_or_in_the_path() {
        let s3 = "https://logs.s3.us-east-1.amazonaws.com";
        let cases = [
            (json!({}), s3),
            (json!({"path_style": null}), s3),
            (json!({"path_style": true}), "https://s3.us-east-1.amazonaws.com/logs"),
            (json!({"region": "eu-central-1"}), "https://logs.s3.eu-central-1.amazonaws.com"),
            (json!({"bucket": "a.b"}), "https://s3.us-east-1.amazonaws.com/a.b"),
            (json!({"endpoint": "https://s.example.com/"}), "https://s.example.com/logs"),
            (json!({"endpoint": "http://10.0.0.1:9000/s3/"}), "http://10.0.0.1:9000/s3/logs"),
            (json!({"endpoint": "https://s.example.com", "path_style": false}), "https://logs.s.example.com"),
            (
                json!({"endpoint": "https://s.example.com:8443/v1/", "path_style": false}),
                "https://logs.s.example.com:8443/v1",
            ),
        ];
        for (given, want) in cases {
            let read = Settings::read(spec(), &settings(given.clone())).expect("good settings");
            assert_eq!(read.bucket_url, want, "{given}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let cases = [
            (json!({"format": "parquet", "compression": "gzip"}), "compression"),
            (json!({"prefix": "a/../b"}), "prefix"),
            (json!({"prefix": "a".repeat(513)}), "prefix"),
            (json!({"endpoint": "https://user@s.example.com"}), "endpoint"),
            (json!({"endpoint": "https://s.example.com?token=1"}), "endpoint"),
            (json!({"endpoint": "https://s.example.com/#x"}), "endpoint"),
            (json!({"endpoint": "https://s.example.com/a|b"}), "endpoint"),
            (json!({"endpoint": "http://[::1]:9000", "path_style": false}), "path_style"),
            (json!({"bucket": null}), "bucket"),
        ];
        for (given, field) in cases {
            let refused = Settings::read(spec(), &settings(given.clone())).expect_err("a setting is refused");
            assert_eq!(refused.field, field, "{given}");
        }
    }

    #[test]
    fn files_are_put_and_called_as_the_settings_say() {
        let cases = [
            (json!({}), Format::Ndjson, "", Partition::Hour),
            (json!({"compression": "gzip", "partition": "day"}), Format::NdjsonGzip, "", Partition::Day),
            (json!({"format": "parquet", "prefix": "in/all/"}), Format::Parquet, "in/all", Partition::Hour),
        ];
        for (given, format, prefix, partition) in cases {
            let read = Settings::read(spec(), &settings(given.clone())).expect("good settings");
            let place = Place { prefix: prefix.into(), partition, ending: format.ending() };
            assert_eq!((read.format, read.place), (format, place), "{given}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let read = Settings::read(spec(), &settings(json!({}))).expect("good settings");
        let shown = format!("{read:?}");
        assert!(!shown.contains(&read.secret_access_key) && !shown.contains(&read.access_key_id), "{shown}");
    }
}
