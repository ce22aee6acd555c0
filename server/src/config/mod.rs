//! The configuration: what was written → what was checked.
//!
//! Flags win, then environment variables, then the TOML file, then the defaults. Unknown names in the file are
//! refused. Nothing below this module reads the environment. The secrets (admin token and write key) come from
//! the environment only and are never printed. Every setting is a row of `docs/configuration.md`.

mod error;
mod given;
mod kafka;
mod limits;
mod parts;
mod section;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::credentials::{self, Secret};

pub use error::{ConfigError, Origin};
pub use given::Environment;
pub use kafka::{ClientSettings, EventLogKind, KafkaSettings};
pub use limits::{
    ActivationsSettings, AdminSettings, DestinationsSettings, EventsSettings, IngestSettings, LogSettings,
    RejectsSettings, StateSettings,
};
pub use section::Setting;

use given::Given;
use kafka::WrittenKafka;
use limits::{
    WrittenActivations, WrittenAdmin, WrittenDestinations, WrittenEvents, WrittenIngest, WrittenLog,
    WrittenRejects, WrittenState,
};

const DATA_DIR: &str = "./data";
const HTTP: &str = "127.0.0.1:8080";
const API: &str = "127.0.0.1:8081";
const GRPC: &str = "127.0.0.1:9090";

const ADMIN_TOKEN: &str = "admin_token";
const WRITE_KEY: &str = "write_key";

/// A chosen token shorter than this is noticed: its hash could be found by trying.
const TOKEN_BYTES_ADVISED: usize = 16;

/// The flags of `tributary serve`. Each wins over the environment variable and the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct ServeArgs {
    /// Read settings from this TOML file [environment: TRIBUTARY_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep everything in this directory [default: ./data, environment: TRIBUTARY_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Serve the public tracking API on this address [default: 127.0.0.1:8080, environment: TRIBUTARY_HTTP]
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<String>,
    /// Serve profile API, admin API, metrics, health here [default: 127.0.0.1:8081, environment: TRIBUTARY_API]
    #[arg(long, value_name = "IP:PORT")]
    pub api: Option<String>,
    /// Serve the public gRPC API on this address [default: 127.0.0.1:9090, environment: TRIBUTARY_GRPC]
    #[arg(long, value_name = "IP:PORT")]
    pub grpc: Option<String>,
    /// Keep events and activations here [default: embedded, environment: TRIBUTARY_EVENT_LOG]
    #[arg(long = "log", value_name = "embedded|kafka")]
    pub event_log: Option<String>,
    /// The brokers of Kafka to begin with, with commas between [environment: TRIBUTARY_KAFKA_BROKERS]
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka_brokers: Option<String>,
    /// Let destinations reach private, loopback and link-local addresses [environment:
    /// TRIBUTARY_ALLOW_PRIVATE_DESTINATIONS=true]
    #[arg(long)]
    pub allow_private_destinations: bool,
}

/// The checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The address of the public tracking API.
    pub http: SocketAddr,
    /// The address of profile API, admin API, metrics and health.
    pub api: SocketAddr,
    /// The address of the public gRPC API.
    pub grpc: SocketAddr,
    /// Whether destinations may reach private, loopback and link-local addresses.
    pub allow_private_destinations: bool,
    /// Where events and activations are kept.
    pub event_log: EventLogKind,
    /// What the first token is to be; random where it is not given.
    pub admin_token: Option<Secret>,
    /// What the write key of the default source is to be; random where it is not given.
    pub write_key: Option<Secret>,
    /// What the collector accepts.
    pub ingest: IngestSettings,
    /// What holds for every log.
    pub log: LogSettings,
    /// How the logs are kept in Kafka, if they are.
    pub kafka: KafkaSettings,
    /// How long events are kept.
    pub events: EventsSettings,
    /// How long activations are kept.
    pub activations: ActivationsSettings,
    /// How long rejected events are kept.
    pub rejects: RejectsSettings,
    /// The state of profiles.
    pub state: StateSettings,
    /// How destinations are served.
    pub destinations: DestinationsSettings,
    /// What the admin API takes.
    pub admin: AdminSettings,
    /// What was noticed and should be told, but does not stop the start.
    pub notices: Vec<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    data_dir: Option<String>,
    http: Option<String>,
    api: Option<String>,
    grpc: Option<String>,
    allow_private_destinations: Option<bool>,
    event_log: Option<String>,
    ingest: WrittenIngest,
    log: WrittenLog,
    kafka: WrittenKafka,
    events: WrittenEvents,
    activations: WrittenActivations,
    rejects: WrittenRejects,
    state: WrittenState,
    destinations: WrittenDestinations,
    admin: WrittenAdmin,
}

impl Config {
    /// Puts flags, environment, file and defaults together and checks every value.
    ///
    /// # Errors
    /// The first thing that is wrong: what, where it was written, and what to write instead.
    pub fn load(args: &ServeArgs, environment: &Environment) -> Result<Self, ConfigError> {
        let (file, written) = read_file(args, environment)?;
        let given = Given { environment, file: file.as_deref() };
        let data_dir = data_dir(args, &written, &given)?;
        let (_, http) = address("http", "--http", args.http.as_ref(), written.http.as_ref(), HTTP, &given)?;
        let (api_origin, api) =
            address("api", "--api", args.api.as_ref(), written.api.as_ref(), API, &given)?;
        let (grpc_origin, grpc) =
            address("grpc", "--grpc", args.grpc.as_ref(), written.grpc.as_ref(), GRPC, &given)?;
        differ(("http", http), ("api", api), &api_origin)?;
        differ(("http", http), ("grpc", grpc), &grpc_origin)?;
        differ(("api", api), ("grpc", grpc), &grpc_origin)?;
        let (log_origin, event_log) = EventLogKind::check(args, written.event_log.as_deref(), &given)?;
        let kafka = KafkaSettings::check(args, &written.kafka, &given)?;
        if event_log == EventLogKind::Kafka {
            kafka.check_brokers(log_origin)?;
        }
        let admin_token = secret(ADMIN_TOKEN, environment)?;
        let mut notices = unknown_variables(environment);
        if admin_token.as_ref().is_some_and(|token| token.expose().len() < TOKEN_BYTES_ADVISED) {
            notices.push(format!(
                "TRIBUTARY_ADMIN_TOKEN is shorter than {TOKEN_BYTES_ADVISED} characters; choose a longer, random one"
            ));
        }
        Ok(Self {
            data_dir,
            http,
            api,
            grpc,
            allow_private_destinations: allow_private(args, &written, &given)?,
            event_log,
            admin_token,
            write_key: secret(WRITE_KEY, environment)?,
            ingest: IngestSettings::check(&written.ingest, &given)?,
            log: LogSettings::check(&written.log, &given)?,
            kafka,
            events: EventsSettings::check(&written.events, &given)?,
            activations: ActivationsSettings::check(&written.activations, &given)?,
            rejects: RejectsSettings::check(&written.rejects, &given)?,
            state: StateSettings::check(&written.state, &given)?,
            destinations: DestinationsSettings::check(&written.destinations, &given)?,
            admin: AdminSettings::check(&written.admin, &given)?,
            notices,
        })
    }

    /// The checked result as a file that `--config` takes, with every setting in it. Secrets are no part of
    /// such a file: a comment says whether they were given.
    ///
    /// # Panics
    /// Never: a table of texts and numbers can always be written.
    pub fn to_toml(&self) -> String {
        let written = Written {
            data_dir: Some(self.data_dir.to_string_lossy().into_owned()),
            http: Some(self.http.to_string()),
            api: Some(self.api.to_string()),
            grpc: Some(self.grpc.to_string()),
            allow_private_destinations: Some(self.allow_private_destinations),
            event_log: Some(self.event_log.name().to_owned()),
            ingest: self.ingest.written(),
            log: self.log.written(),
            kafka: self.kafka.written(),
            events: self.events.written(),
            activations: self.activations.written(),
            rejects: self.rejects.written(),
            state: self.state.written(),
            destinations: self.destinations.written(),
            admin: self.admin.written(),
        };
        let secret = |key, value: &Option<Secret>| match value {
            Some(_) => format!("# {}: ********\n", section::variable(key)),
            None => format!("# {}: not given\n", section::variable(key)),
        };
        let body = toml::to_string(&written).expect("a table of texts and numbers can be written");
        format!(
            "{}{}{}{body}",
            secret(ADMIN_TOKEN, &self.admin_token),
            secret(WRITE_KEY, &self.write_key),
            self.kafka.hidden()
        )
    }
}

/// Every setting that a file, the environment or both may hold, in the order of the documentation.
pub fn settings() -> Vec<Setting> {
    let top = |key, default: &str, allowed: &str, help: &str| Setting {
        key,
        default: default.to_owned(),
        allowed: allowed.to_owned(),
        help: help.to_owned(),
    };
    let address = "IP address and port; port 0 takes a free one";
    let credential = "1 to 256 visible ASCII characters without a colon; environment only";
    let mut all = vec![
        top("data_dir", DATA_DIR, "a path", "The directory that holds everything."),
        top("http", HTTP, address, "Where the public tracking API is served."),
        top("api", API, address, "Where profile API, admin API, metrics and health are served."),
        top("grpc", GRPC, address, "Where the public gRPC API is served."),
        top(
            "allow_private_destinations",
            "false",
            "true or false",
            "Whether destinations may reach private, loopback and link-local addresses.",
        ),
        KafkaSettings::event_log_setting(),
        top(ADMIN_TOKEN, "random, printed once", credential, "The first token, which has every scope."),
        top(WRITE_KEY, "random, printed once", credential, "The write key of the default source."),
    ];
    all.extend(IngestSettings::settings());
    all.extend(LogSettings::settings());
    all.extend(KafkaSettings::settings());
    all.extend(EventsSettings::settings());
    all.extend(ActivationsSettings::settings());
    all.extend(RejectsSettings::settings());
    all.extend(StateSettings::settings());
    all.extend(DestinationsSettings::settings());
    all.extend(AdminSettings::settings());
    all
}

fn read_file(args: &ServeArgs, environment: &Environment) -> Result<(Option<PathBuf>, Written), ConfigError> {
    let variable = section::variable("config");
    let (origin, path) = match (&args.config, environment.get(&variable)) {
        (Some(path), _) => (Origin::Flag("--config"), path.clone()),
        (None, Some(path)) => (Origin::Variable(variable), PathBuf::from(path)),
        (None, None) => return Ok((None, Written::default())),
    };
    let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Unreadable {
        path: path.clone(),
        origin,
        source,
    })?;
    let written = toml::from_str(&text).map_err(|error| ConfigError::File {
        path: path.clone(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    Ok((Some(path), written))
}

fn data_dir(args: &ServeArgs, written: &Written, given: &Given<'_>) -> Result<PathBuf, ConfigError> {
    if let Some(path) = args.data_dir.as_deref().filter(|path| *path != Path::new("")) {
        return Ok(path.to_path_buf());
    }
    let flag = args.data_dir.as_ref().map(|_| ("--data-dir", String::new()));
    let (origin, text) = given.text("data_dir", flag, written.data_dir.as_deref(), DATA_DIR);
    if text.is_empty() {
        let advice = "name a directory".to_owned();
        return Err(ConfigError::Value { origin, key: "data_dir", value: text, advice });
    }
    Ok(PathBuf::from(text))
}

fn address(
    key: &'static str,
    flag: &'static str,
    from_flag: Option<&String>,
    in_file: Option<&String>,
    default: &str,
    given: &Given<'_>,
) -> Result<(Origin, SocketAddr), ConfigError> {
    let flag = from_flag.map(|text| (flag, text.clone()));
    let (origin, text) = given.text(key, flag, in_file.map(String::as_str), default);
    match text.parse() {
        Ok(address) => Ok((origin, address)),
        Err(_) => Err(ConfigError::Value {
            origin,
            key,
            value: text,
            advice: format!("give an IP address and a port, such as {default}"),
        }),
    }
}

/// Whether two addresses can be listened on side by side. Any number of them may take free ports.
fn differ(
    (one, one_address): (&str, SocketAddr),
    (other, other_address): (&str, SocketAddr),
    origin: &Origin,
) -> Result<(), ConfigError> {
    if one_address == other_address && one_address.port() != 0 {
        let message = format!("{one} and {other} are both {one_address}; give them different ports");
        return Err(ConfigError::Clash { origin: origin.clone(), message });
    }
    Ok(())
}

fn allow_private(args: &ServeArgs, written: &Written, given: &Given<'_>) -> Result<bool, ConfigError> {
    const KEY: &str = "allow_private_destinations";
    if args.allow_private_destinations {
        return Ok(true);
    }
    let in_file = written.allow_private_destinations.map(|value| value.to_string());
    let (origin, text) = given.text(KEY, None, in_file.as_deref(), "false");
    text.parse().map_err(|_| ConfigError::Value {
        origin,
        key: KEY,
        value: text,
        advice: "give true or false".to_owned(),
    })
}

fn secret(key: &'static str, environment: &Environment) -> Result<Option<Secret>, ConfigError> {
    let name = section::variable(key);
    let Some(text) = environment.get(&name) else { return Ok(None) };
    match credentials::check(text) {
        Ok(()) => Ok(Some(Secret::new(text))),
        Err(problem) => Err(ConfigError::Value {
            origin: Origin::Variable(name),
            key,
            value: if text.is_empty() { String::new() } else { "********".to_owned() },
            advice: format!("it {problem}; give another one, or unset the variable"),
        }),
    }
}

/// A misspelt variable would be passed over without a word: say so.
fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<String> = settings().iter().map(Setting::variable).collect();
    environment
        .names()
        .filter(|name| *name != section::variable("config") && *name != Environment::LOG)
        .filter(|name| !known.iter().any(|variable| variable == name))
        .map(|name| format!("environment variable {name} is no setting and has no effect"))
        .collect()
}

#[cfg(test)]
mod tests;
