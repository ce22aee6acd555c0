//! The gRPC face: the services of the collector and of profiles, health, reflection.

use super::StartError;
use super::health::Health;
use crate::config::Config;
use crate::lifecycle::Fatal;
use futures_util::stream::{self, Stream};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tributary_ingest::{Collector, GrpcService};
use tributary_profiles::grpc::{ProfilesParts, ProfilesService};

/// How long calls under way get to finish at a stop.
const CALLS_DRAIN: Duration = Duration::from_secs(2);
/// How often a client that says nothing is asked whether it is there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The same for connections that have not got as far as HTTP/2.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes that a client may send ahead of what is read: on one call, and on a connection. A stream that waits does
/// not hold up the other calls of its connection.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
/// Calls under way on one connection.
const CALLS_MAX: u32 = 200;
/// How often those who watch the health are told, if it changed.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The gRPC server while it runs.
pub(super) struct Grpc {
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Grpc {
    /// Serves from now on. An end that nobody asked for ends the process.
    ///
    /// # Errors
    /// If the address can't be listened on.
    pub(super) fn serve(
        config: &Config,
        collector: Arc<Collector>,
        profiles: ProfilesParts,
        health: &Arc<Health>,
        fatal: &Fatal,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Bind { address: config.grpc, flag: "--grpc", source };
        let incoming = TcpIncoming::bind(config.grpc).map_err(failed)?;
        let address = incoming.local_addr().map_err(failed)?;
        let incoming = incoming.with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE));
        let (stopping, stop) = watch::channel(false);
        let health = HealthFace { health: Arc::clone(health), stop: stop.clone() };
        let reflection = "the descriptors are those that the code was made from";
        let server = Server::builder()
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(CALLS_MAX)
            .add_service(tributary_ingest::grpc::service(collector, stop.clone()))
            .add_service(tributary_profiles::grpc::service(profiles, stop.clone()))
            .add_service(HealthServer::new(health))
            .add_service(descriptors().build_v1().expect(reflection))
            .add_service(descriptors().build_v1alpha().expect(reflection))
            .serve_with_incoming_shutdown(incoming, stopped(stop.clone()));
        let fatal = Arc::clone(fatal);
        let served = tokio::spawn(async move {
            let ended = server.await;
            // Without a sender the server was not stopped but dropped.
            if !*stop.borrow() && stop.has_changed().is_ok() {
                fatal(&format!("the gRPC server ended: {ended:?}"));
            }
        });
        Ok(Self { address, stopping, served })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new calls, and lets those under way finish. Streams are ended after what they have taken in, watches at
    /// once.
    pub(super) async fn stop(mut self) {
        self.stopping.send_replace(true);
        if tokio::time::timeout(CALLS_DRAIN, &mut self.served).await.is_err() {
            tracing::warn!("gRPC calls did not finish in time and were left; nothing acknowledged is lost");
            self.served.abort();
        }
    }
}

fn descriptors() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tributary_proto::grpc::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Resolves once the server stops.
async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// `grpc.health.v1.Health`: what `/readyz?part=collector` says, and of the service of profiles `/readyz?part=profiles`.
struct HealthFace {
    health: Arc<Health>,
    stop: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl health_server::Health for HealthFace {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let part = Part::of(&request.get_ref().service)?;
        Ok(Response::new(answer(status(&self.health, part))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let part = Part::of(&request.get_ref().service)?;
        let watched = Watched { health: Arc::clone(&self.health), part, stop: self.stop.clone(), told: None };
        let changes: Self::WatchStream = Box::pin(stream::unfold(Some(watched), next_change));
        Ok(Response::new(changes))
    }
}

/// What a client that watches the health was told.
struct Watched {
    health: Arc<Health>,
    part: Part,
    stop: watch::Receiver<bool>,
    told: Option<ServingStatus>,
}

/// Waits for the next change; there is none after the stop.
async fn next_change(
    watched: Option<Watched>,
) -> Option<(Result<HealthCheckResponse, Status>, Option<Watched>)> {
    let mut watched = watched?;
    loop {
        let stopping = *watched.stop.borrow();
        let now = status(&watched.health, watched.part);
        if stopping || watched.told != Some(now) {
            watched.told = Some(now);
            return Some((Ok(answer(now)), (!stopping).then_some(watched)));
        }
        // Whether it was the stop or the time is looked at above.
        let _ = tokio::time::timeout(HEALTH_INTERVAL, stopped(watched.stop.clone())).await;
    }
}

/// What the health of is asked for.
#[derive(Clone, Copy)]
enum Part {
    /// Whether events are accepted; also what stands for the server as a whole.
    Collector,
    /// Whether profiles show everything that the log held at the start.
    Profiles,
}

impl Part {
    /// That of the service of this name.
    fn of(service: &str) -> Result<Self, Status> {
        if service.is_empty() || service == GrpcService::NAME {
            return Ok(Self::Collector);
        }
        if service == ProfilesService::NAME {
            return Ok(Self::Profiles);
        }
        let (one, other) = (GrpcService::NAME, ProfilesService::NAME);
        Err(Status::not_found(format!("there is no such service; ask for {one} or {other}")))
    }
}

fn status(health: &Health, part: Part) -> ServingStatus {
    let ready = match part {
        Part::Collector => health.collector(),
        Part::Profiles => health.profiles(),
    };
    if ready.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
