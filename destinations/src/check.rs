//! Whether a destination could be run as it is configured: what is looked at before a configuration is saved.

use crate::config::{DestinationConfig, Limits};
use crate::configured::{Configured, Ways};
use crate::connect::{AddressRule, Addresses, Encryption, Outbound, RefusedAddress, SendError};
use crate::definition::{SettingKind, SettingsError, Spec, TransportSpec};
use crate::registry;
use crate::settings::{text, url};
use crate::transport::check_columns;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use tributary_model::workspace::DestinationNeeds;
use url::{Host, Url};

/// What transports are made with that are only looked at. Nothing is sent by it.
static OUTBOUND: LazyLock<Result<Arc<Outbound>, SendError>> =
    LazyLock::new(|| Outbound::new(Addresses::Public, Limits::default().connect_timeout).map(Arc::new));

/// Checks a configuration as far as that is possible without connecting to anything, and tells what activations have to
/// carry for it. Hosts that are addresses are checked as sending does; names are resolved only then. `allow_private` is
/// what the engine is told: whether destinations may have private, loopback and link-local addresses.
///
/// # Errors
/// The first part of it that can't be used, where it stands, and what to do about it.
pub fn check(config: &DestinationConfig, allow_private: bool) -> Result<DestinationNeeds, SettingsError> {
    let outbound = OUTBOUND
        .as_ref()
        .map_err(|why| SettingsError::new("definition", format!("can't be used on this machine: {why}")))?;
    let ways = Ways { outbound: Arc::clone(outbound), tokens: None };
    let configured = Configured::new(config, &Limits::default(), &ways)?;
    configured.plan.check_constants()?;
    let spec = registry::find(&config.definition).expect("what is configured has a definition");
    check_mappings(spec, config)?;
    check_addresses(spec, config, if allow_private { Addresses::Any } else { Addresses::Public })?;
    Ok(configured.plan.needs())
}

/// What only the transport knows of mappings.
fn check_mappings(spec: &Spec, config: &DestinationConfig) -> Result<(), SettingsError> {
    match spec.transport {
        TransportSpec::Postgresql => check_columns(spec, config.mappings.as_deref().unwrap_or_default()),
        TransportSpec::Http(_) | TransportSpec::ObjectStorage => Ok(()),
    }
}

fn check_addresses(
    spec: &Spec,
    config: &DestinationConfig,
    addresses: Addresses,
) -> Result<(), SettingsError> {
    for setting in spec.settings.iter().filter(|setting| setting.kind == SettingKind::Url) {
        if let Some(url) = url(spec, &config.settings, &setting.name)? {
            check_url(&setting.name, &url, addresses)?;
        }
    }
    match spec.transport {
        TransportSpec::Postgresql => check_database(spec, config, addresses),
        TransportSpec::Http(_) | TransportSpec::ObjectStorage => Ok(()),
    }
}

fn check_url(name: &str, url: &Url, addresses: Addresses) -> Result<(), SettingsError> {
    let encryption = if url.scheme() == "https" { Encryption::Tls } else { Encryption::None };
    AddressRule { addresses, encryption }.check_host(url).map_err(|why| unusable(name, why))?;
    if reaches_nothing(addresses, encryption) {
        let message = "has to begin with https: without encryption only private addresses are reached, and those only \
                       where --allow-private-destinations lets them be used";
        return Err(SettingsError::new(name, message));
    }
    Ok(())
}

/// The host of a database, and whether what goes there is encrypted.
fn check_database(
    spec: &Spec,
    config: &DestinationConfig,
    addresses: Addresses,
) -> Result<(), SettingsError> {
    let is_open = text(spec, &config.settings, "encryption")? == Some("none");
    let encryption = if is_open { Encryption::None } else { Encryption::Tls };
    let host = text(spec, &config.settings, "host")?.unwrap_or_default();
    let rule = AddressRule { addresses, encryption };
    match address(host).map(|address| rule.check(address)) {
        Some(Err(RefusedAddress::Unencrypted)) => {
            Err(SettingsError::new("encryption", "has to be verify_full: the address of `host` is public"))
        }
        Some(Err(why @ (RefusedAddress::NotPublic | RefusedAddress::Metadata))) => Err(unusable("host", why)),
        None if reaches_nothing(addresses, encryption) => {
            let message = "has to be verify_full: without encryption only private addresses are reached, and those only \
                           where --allow-private-destinations lets them be used";
            Err(SettingsError::new("encryption", message))
        }
        Some(Ok(())) | None => Ok(()),
    }
}

/// The address that a host is, if it is no name: whoever resolves names takes `127.1` for one, too.
fn address(host: &str) -> Option<IpAddr> {
    host.parse().ok().or_else(|| match Host::parse(host) {
        Ok(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Ok(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Ok(Host::Domain(_)) | Err(_) => None,
    })
}

/// Whether no address at all is reached in that way.
fn reaches_nothing(addresses: Addresses, encryption: Encryption) -> bool {
    addresses == Addresses::Public && encryption == Encryption::None
}

fn unusable(name: &str, why: RefusedAddress) -> SettingsError {
    SettingsError::new(name, format!("can't be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::RawSettings;
    use serde_json::{Value, json};
    use tributary_model::{DestinationId, Position, WorkspaceId};

    fn config(definition: &str, settings: Value) -> DestinationConfig {
        let settings: RawSettings = serde_json::from_value(settings).expect("settings");
        let config = DestinationConfig::new(WorkspaceId(1), DestinationId(1), definition, Position::at(0));
        DestinationConfig { settings, ..config }
    }

    #[test]
    fn a_definition_has_to_be_in_the_catalog_and_its_settings_good() {
        let refused = |config| check(&config, false).expect_err("it can't be used").field;
        assert_eq!(refused(config("no-such", json!({}))), "definition");
        assert_eq!(refused(config("webhook", json!({}))), "url");
        let webhook = config("webhook", json!({"url": "https://example.com/hook"}));
        assert_eq!(check(&webhook, false), Ok(DestinationNeeds::default()));
    }

    /// What is wrong with a configuration where private addresses are not allowed, and where they are: the setting, and
    /// a part of the message.
    type Wrong = Option<(&'static str, &'static str)>;

    fn assert_checked(definition: &str, cases: Vec<(Value, Wrong, Wrong)>) {
        for (settings, if_public, if_any) in cases {
            for (allow_private, want) in [(false, if_public), (true, if_any)] {
                let checked = check(&config(definition, settings.clone()), allow_private).err();
                let is_so = match (&checked, want) {
                    (Some(error), Some((field, part))) => {
                        error.field == field && error.message.contains(part)
                    }
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                assert!(is_so, "{settings}, private ones allowed: {allow_private}: {checked:?}");
            }
        }
    }

    const PRIVATE: Wrong = Some(("url", "--allow-private-destinations lets such be used"));
    const METADATA: Wrong = Some(("url", "never a destination"));

    #[test]
    fn urls_are_checked_as_sending_does() {
        let hook = |url: &str| json!({"url": url});
        let token = |url: &str| {
            json!({"url": "https://example.com", "oauth_token_url": url, "oauth_client_id": "c",
                "oauth_client_secret": "s"})
        };
        assert_checked(
            "webhook",
            vec![
                (hook("https://1.1.1.1/hook"), None, None),
                (hook("https://no-such-host.invalid/"), None, None),
                (hook("http://example.com/hook"), Some(("url", "has to begin with https")), None),
                (hook("http://127.0.0.1:9/"), PRIVATE, None),
                (hook("https://10.0.0.1/"), PRIVATE, None),
                (hook("https://2130706433/"), PRIVATE, None),
                (hook("https://[::ffff:10.0.0.1]/"), PRIVATE, None),
                (hook("http://1.1.1.1/"), Some(("url", "use https")), Some(("url", "use https"))),
                (hook("https://169.254.169.254/latest"), METADATA, METADATA),
                (token("https://example.com/token"), None, None),
                (token("https://192.168.1.1/token"), Some(("oauth_token_url", "private")), None),
            ],
        );
        let storage = |endpoint: &str| json!({"bucket": "events", "access_key_id": "a", "secret_access_key": "s", "endpoint": endpoint});
        assert_checked(
            "s3",
            vec![
                (storage("https://storage.example.com"), None, None),
                (storage("http://10.0.0.1:9000"), Some(("endpoint", "private")), None),
            ],
        );
    }

    #[test]
    fn hosts_of_databases_are_checked_as_sending_does() {
        let database = |host: &str, encryption: &str| json!({"host": host, "database": "d", "user": "u", "password": "p", "encryption": encryption});
        let (private, public) = (Some(("host", "private")), Some(("encryption", "is public")));
        let metadata = Some(("host", "never a destination"));
        assert_checked(
            "postgresql",
            vec![
                (database("db.example.com", "verify_full"), None, None),
                (database("db.example.com", "none"), Some(("encryption", "only private")), None),
                (database("1.1.1.1", "verify_full"), None, None),
                (database("1.1.1.1", "none"), public, public),
                (database("10.0.0.1", "verify_full"), private, None),
                (database("127.1", "none"), private, None),
                (database("::1", "none"), private, None),
                (database("169.254.169.254", "verify_full"), metadata, metadata),
            ],
        );
    }

    #[test]
    fn what_can_never_be_sent_is_refused_where_it_was_written() {
        let slack = |over: Value| {
            let mut settings = json!({"webhook_url": "https://hooks.slack.com/services/T/B/x"});
            settings.as_object_mut().expect("an object").extend(over.as_object().expect("an object").clone());
            config("slack", settings)
        };
        let mapped = |config: DestinationConfig, action: &str, fields: Value| {
            let mapping =
                json!([{"id": 1, "name": "m", "action": action, "enabled": true, "fields": fields}]);
            let mappings = serde_json::from_value(mapping).expect("mappings");
            DestinationConfig { mappings: Some(mappings), ..config }
        };
        let posted = |fields: Value| mapped(slack(json!({})), "post_message", fields);
        let hook = || config("webhook", json!({"url": "https://example.com/hook"}));
        let cases = [
            (slack(json!({})), None),
            (slack(json!({"message": "   "})), Some("message")),
            (slack(json!({"message": "{{! note }}"})), Some("message")),
            (slack(json!({"message": "{{$.event}}"})), Some("message")),
            (slack(json!({"username": "x".repeat(80)})), None),
            (slack(json!({"username": "x".repeat(200)})), Some("username")),
            (posted(json!({"text": {"@template": "{{! note }}"}})), Some("mappings[0].fields.text")),
            (
                posted(json!({"text": {"@template": "{{$.event}}"}})),
                Some("mappings[0].fields.text.@template"),
            ),
            (posted(json!({"text": ""})), Some("mappings[0].fields.text")),
            (posted(json!({"text": null})), Some("mappings[0].fields.text")),
            (posted(json!({"text": null, "blocks": [{"type": "divider"}]})), None),
            (mapped(hook(), "send", json!({"event": "  "})), Some("mappings[0].fields.event")),
            (mapped(hook(), "send", json!({"event": []})), Some("mappings[0].fields.event")),
            (mapped(hook(), "send", json!({"event": {}})), None),
        ];
        for (number, (config, want)) in (1..).zip(cases) {
            let refused = check(&config, false).err();
            assert_eq!(
                refused.as_ref().map(|error| error.field.as_str()),
                want,
                "case {number}: {refused:?}"
            );
        }
    }
}
