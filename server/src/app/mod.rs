//! Builds and wires every part, in the order that the promises need.
//!
//! Start: keys, workspaces, logs, then the collector accepts; profiles, indexes and destinations are opened on
//! another thread meanwhile. Stop, upstream first: refuse, drain, checkpoint, close; each step has a deadline.

mod audience_previews;
mod behind;
mod configs;
mod grpc;
mod health;
mod jobs;
mod logs;
mod openapi;
mod outside;
mod previews;
mod retention;

use crate::admin::{Admin, Editor};
use crate::clock::ProcessClock;
use crate::config::Config;
use crate::keys::{KeyError, Keys};
use crate::lifecycle::{DataDir, Fatal, LockError, exit_process};
use crate::telemetry;
use crate::workspaces::{Given, InForce, StoreError, StoreOptions, WorkspaceStore};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use behind::Behind;
use grpc::Grpc;
use health::Health;
use logs::Logs;
use outside::Outside;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tributary_eventlog::kafka::KafkaOpenError;
use tributary_ingest::{Collector, WriteKeys};
use tributary_model::clock::Clock;
use tributary_profiles::grpc::ProfilesParts;
use tributary_profiles::{ProfileApi, ProjectorError, projector};

/// How long open requests get to finish at a stop, in seconds.
const REQUESTS_DRAIN_SECONDS: u64 = 2;
/// How long deliveries under way get to finish at a stop.
const DELIVERIES_DRAIN: Duration = Duration::from_secs(2);

/// Why the server can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The keys can't be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A log can't be opened.
    #[error("the {name} log can't be opened")]
    Log {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: tributary_eventlog::segment::OpenError,
    },
    /// A log in Kafka can't be opened.
    #[error("the {name} log in Kafka can't be opened")]
    Kafka {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: Box<KafkaOpenError>,
    },
    /// The data directory belongs to the other kind of log.
    #[error(
        "{found} says that this data directory belongs to --log {holder}, but --log {wanted} was asked for: entries \
         don't move by themselves; start with --log {holder}, or name another --data-dir"
    )]
    OtherLog {
        /// What says so.
        found: PathBuf,
        /// The log that was asked for.
        wanted: &'static str,
        /// The log that the directory belongs to.
        holder: &'static str,
    },
    /// The logs don't fit each other.
    #[error(transparent)]
    Ends(#[from] ProjectorError),
    /// The workspaces can't be opened.
    #[error("the workspaces can't be opened")]
    Workspaces(#[from] StoreError),
    /// An address can't be listened on.
    #[error("{address} can't be listened on ({flag} sets it)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread can't be started.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
}

/// What the first start shows, once.
pub struct FirstStart {
    /// The first API token: it may do everything.
    pub admin_token: String,
    /// The write key of the default source.
    pub write_key: String,
}

/// A running server.
pub struct Running {
    /// Where the tracking API is.
    pub http: SocketAddr,
    /// Where gRPC is.
    pub grpc: SocketAddr,
    /// Where profile API, admin API, metrics and health are.
    pub api: SocketAddr,
    /// The credentials that the first start made.
    pub first_start: Option<FirstStart>,
    collector: ServerHandle,
    calls: Grpc,
    faces: ServerHandle,
    health: Arc<Health>,
    behind: Arc<Behind>,
    logs: Logs,
    store: WorkspaceStore,
    _data_dir: DataDir,
}

/// Starts everything; what must end the process ends it.
///
/// # Errors
/// If a part that the collector needs can't be opened. What is opened behind the log ends the process instead.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, exit_process()).await
}

/// Starts everything; `fatal` is called for what must end the process.
///
/// # Errors
/// As [`start`].
pub async fn start_with(config: Config, fatal: Fatal) -> Result<Running, StartError> {
    let metrics = telemetry::metrics();
    let data_dir = DataDir::lock(&config.data_dir)?;
    let keys = Keys::open(data_dir.path())?;
    let clock: Arc<dyn Clock> = Arc::new(ProcessClock);
    let opened = {
        let (config, fatal, clock) = (config.clone(), Arc::clone(&fatal), Arc::clone(&clock));
        blocking(move || Logs::open(&config, &clock, &fatal)).await?
    };
    {
        let logs = opened.clone();
        blocking(move || projector::check_end(&*logs.events, &*logs.activations)).await?;
    }
    let write_keys = Arc::new(WriteKeys::new());
    let behind = Arc::new(Behind::new(&config, &keys, &opened, Arc::clone(&clock), Arc::clone(&fatal)));
    let (store, credentials) = {
        let options = StoreOptions {
            log: opened.events.clone(),
            clock: Arc::clone(&clock),
            fatal: Arc::clone(&fatal),
            given: Given { admin_token: config.admin_token.clone(), write_key: config.write_key.clone() },
            workspaces_max: config.admin.workspaces_max,
            in_force: in_force(&write_keys, &behind),
        };
        let path = data_dir.path().to_owned();
        blocking(move || WorkspaceStore::open(&path, options)).await?
    };
    let first_start = credentials.map(|credentials| FirstStart {
        admin_token: credentials.token.expose().to_owned(),
        write_key: credentials.write_key.clone(),
    });
    behind.set_positions(store.clone());

    let collector = Arc::new(Collector::new(
        opened.events.clone(),
        opened.rejects.clone(),
        write_keys,
        keys.hash_key(),
        clock,
        configs::ingest_limits(&config),
    ));
    let health = Arc::new(Health::new(metrics, opened.events.clone(), Arc::clone(&behind)));
    let outside = Arc::new(Outside::new(Arc::clone(&behind), store.clone()));
    let (http, collector_handle) = serve_collector(&config, Arc::clone(&collector), &health)?;
    let calls = Grpc::serve(&config, collector, profiles(&outside, &behind, &opened), &health, &fatal)?;
    let grpc = calls.address();
    let (api, faces) = serve_faces(&config, &keys, &store, &outside, &health, &behind)?;
    behind.open(tokio::runtime::Handle::current()).map_err(StartError::Thread)?;
    tracing::info!(%http, %grpc, %api, data_dir = %data_dir.path().display(), "accepting events");
    Ok(Running {
        http,
        grpc,
        api,
        first_start,
        collector: collector_handle,
        calls,
        faces,
        health,
        behind,
        logs: opened,
        store,
        _data_dir: data_dir,
    })
}

/// What happens between a version coming into force and its change being answered.
fn in_force(write_keys: &Arc<WriteKeys>, behind: &Arc<Behind>) -> InForce {
    let (write_keys, behind) = (Arc::clone(write_keys), Arc::clone(behind));
    Arc::new(move |snapshot| {
        write_keys.swap(snapshot.workspaces());
        behind.apply(snapshot);
    })
}

impl Running {
    /// Waits until a part behind the log has ended that should not have; tells which and why.
    pub async fn failed(&self) -> String {
        self.behind.failed().await
    }

    /// Stops in good order: refuses requests, finishes those under way, brings deliveries under way to an end,
    /// projects what is in the log, makes a last checkpoint, closes the logs.
    ///
    /// # Errors
    /// If the last checkpoint could not be made. Nothing is lost by that.
    pub async fn stop(self) -> Result<(), ProjectorError> {
        self.health.stopping();
        tokio::join!(self.collector.stop(true), self.calls.stop());
        let stopped = self.behind.stop(DELIVERIES_DRAIN).await;
        self.faces.stop(true).await;
        drop(self.store);
        let logs = self.logs;
        blocking(move || logs.close()).await;
        stopped
    }
}

/// What profiles over gRPC are answered from.
fn profiles(outside: &Arc<Outside>, behind: &Behind, logs: &Logs) -> ProfilesParts {
    ProfilesParts {
        access: outside.clone(),
        reader: behind.reader(),
        desk: behind.desk(),
        activations: Arc::clone(&logs.activations),
    }
}

fn serve_collector(
    config: &Config,
    collector: Arc<Collector>,
    health: &Arc<Health>,
) -> Result<(SocketAddr, ServerHandle), StartError> {
    let failed = |source| StartError::Bind { address: config.http, flag: "--http", source };
    let health = Arc::clone(health);
    let server = HttpServer::new(move || {
        App::new()
            .configure(tributary_ingest::routes(Arc::clone(&collector)))
            .configure(health::collector_routes(Arc::clone(&health)))
            .default_service(web::to(tributary_ingest::not_found))
    })
    .workers(2)
    .client_request_timeout(config.ingest.header_read_timeout)
    .keep_alive(Duration::from_secs(75))
    .disable_signals()
    .shutdown_timeout(REQUESTS_DRAIN_SECONDS)
    .bind(config.http)
    .map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(config.http);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok((address, handle))
}

fn serve_faces(
    config: &Config,
    keys: &Keys,
    store: &WorkspaceStore,
    outside: &Arc<Outside>,
    health: &Arc<Health>,
    behind: &Arc<Behind>,
) -> Result<(SocketAddr, ServerHandle), StartError> {
    let failed = |source| StartError::Bind { address: config.api, flag: "--api", source };
    let editor = Editor {
        sealing: keys.sealing_key(),
        limits: config.admin.clone(),
        allow_private_destinations: config.allow_private_destinations,
        intake: configs::ingest_limits(config),
    };
    let outside_of_admin = crate::admin::outside::Outside::of(outside);
    let admin = Arc::new(Admin::new(store.clone(), editor, outside_of_admin));
    let profiles = Arc::new(ProfileApi::new(outside.clone(), behind.reader(), behind.desk()));
    let health = Arc::clone(health);
    let document = Arc::new(openapi::document());
    let server = HttpServer::new(move || {
        App::new()
            .configure(crate::admin::openapi::route(Arc::clone(&document)))
            .configure(health::routes(Arc::clone(&health)))
            .configure(crate::admin::routes(Arc::clone(&admin)))
            .configure(tributary_profiles::api::routes(Arc::clone(&profiles)))
            .default_service(web::to(health::not_found))
    })
    .workers(2)
    .client_request_timeout(config.ingest.header_read_timeout)
    .disable_signals()
    .shutdown_timeout(REQUESTS_DRAIN_SECONDS)
    .bind(config.api)
    .map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(config.api);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok((address, handle))
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(run).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
