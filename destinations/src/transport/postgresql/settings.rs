//! The settings of a database.

use crate::connect::Outbound;
use crate::definition::{RawSettings, SettingsError, Spec};
use crate::settings::{count, text};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::net::Ipv6Addr;
use std::sync::Arc;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Settings in a form that can be used.
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) schema: String,
    /// Where it is, for people.
    pub(super) target: String,
    /// User, password and database.
    pub(super) config: Config,
    /// How connections are encrypted, if they are.
    pub(super) tls: Option<MakeRustlsConnect>,
}

impl Settings {
    /// Reads settings that are as the definition declares.
    ///
    /// # Errors
    /// The first that can't be used.
    pub(super) fn read(
        spec: &Spec,
        settings: &RawSettings,
        outbound: &Outbound,
    ) -> Result<Self, SettingsError> {
        let given = |name: &'static str| {
            text(spec, settings, name)?
                .map(str::to_owned)
                .ok_or_else(|| SettingsError::new(name, "is required"))
        };
        let host = given("host")?;
        let is_address = host.parse::<Ipv6Addr>().is_ok();
        if host.contains(':') && !is_address {
            return Err(SettingsError::new(
                "host",
                "must be a host name or an address; the port is a setting of its own",
            ));
        }
        let port = count(spec, settings, "port")?.and_then(|port| u16::try_from(port).ok());
        let port =
            port.ok_or_else(|| SettingsError::new("port", "must be a whole number from 1 to 65535"))?;
        let schema = given("schema")?;
        if schema.starts_with("pg_") || schema == "information_schema" {
            return Err(SettingsError::new("schema", "is one of PostgreSQL's own; choose another"));
        }
        let database = given("database")?;
        let target = if is_address {
            format!("postgresql://[{host}]:{port}/{database}")
        } else {
            format!("postgresql://{host}:{port}/{database}")
        };
        let mut config = Config::new();
        config.user(given("user")?).password(given("password")?).dbname(database);
        let tls = match given("encryption")?.as_str() {
            "none" => None,
            _ => Some(tls(text(spec, settings, "root_certificate")?, outbound)?),
        };
        Ok(Self { host, port, schema, target, config, tls })
    }
}

/// Encryption that checks the certificate and its name: against the given root certificates, or those of the platform.
fn tls(pem: Option<&str>, outbound: &Outbound) -> Result<MakeRustlsConnect, SettingsError> {
    let Some(pem) = pem else { return Ok(MakeRustlsConnect::new(outbound.tls())) };
    let wrong = || {
        let message = "must hold certificates as PEM text, from -----BEGIN CERTIFICATE----- on";
        SettingsError::new("root_certificate", message)
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    if roots.is_empty() {
        return Err(wrong());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("ring has what both versions of TLS need");
    Ok(MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
