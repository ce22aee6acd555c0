//! Connections to the database: dialled through the one way out, kept while nothing breaks, given up otherwise.

use super::bounded::{Bounded, BoundedTls, Flood};
use super::errors;
use super::schema::Catalog;
use crate::connect::{Encryption, Masker, Outbound};
use crate::exchange::Verdict;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Connection, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Connections without a transaction that are kept for later ones.
const IDLE_MAX: usize = 4;

/// What of the time for a whole exchange a statement may take: PostgreSQL gives up before we do, and says so.
const STATEMENT_SHARE: u32 = 9;
/// What of it a statement may wait for a lock.
const LOCK_SHARE: u32 = 5;
/// Of how many.
const SHARES: u32 = 10;

/// How long PostgreSQL may write a table anew to make a column wider, if that is not more than a quarter of the time for
/// a whole exchange: nobody else can use the table meanwhile.
const WIDENING_TIME: Duration = Duration::from_secs(5);

/// How connections are made, and those that are idle.
pub(super) struct Connections {
    outbound: Arc<Outbound>,
    host: String,
    port: u16,
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    masker: Masker,
    begin: String,
    begin_widening: String,
    idle: Mutex<Vec<Session>>,
}

/// A connection, and what is known of the tables.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) catalog: Catalog,
    /// It was made for this exchange.
    pub(super) is_new: bool,
    /// Something is under way, or broke off.
    is_busy: bool,
    flood: Flood,
    task: JoinHandle<()>,
}

impl Session {
    /// What an error on it means that is about no table.
    pub(super) fn verdict(&self, error: &Error, masker: &Masker) -> Verdict {
        if self.is_flooded() { errors::flooded() } else { errors::verdict(error, masker) }
    }

    /// Whether it broke because more came than is read.
    pub(super) fn is_flooded(&self) -> bool {
        self.flood.is_there()
    }
}

impl Drop for Session {
    /// What is idle says goodbye by itself; what broke off could wait for ever.
    fn drop(&mut self) {
        if self.is_busy {
            self.task.abort();
        }
    }
}

impl Connections {
    /// To that database; encrypted if there is a way to.
    pub(super) fn new(
        outbound: Arc<Outbound>,
        (host, port): (&str, u16),
        mut config: tokio_postgres::Config,
        tls: Option<MakeRustlsConnect>,
        masker: Masker,
        timeout: Duration,
    ) -> Self {
        use tokio_postgres::config::SslMode;
        config.application_name("tributary");
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let begin = begin_text(timeout * STATEMENT_SHARE / SHARES, timeout * LOCK_SHARE / SHARES);
        let widening = WIDENING_TIME.min(timeout / 4);
        let begin_widening = begin_text(widening, widening * STATEMENT_SHARE / SHARES);
        Self {
            outbound,
            host: host.to_owned(),
            port,
            config,
            tls,
            masker,
            begin,
            begin_widening,
            idle: Mutex::default(),
        }
    }

    /// A connection: an idle one, or a new one.
    ///
    /// # Errors
    /// What it means for deliveries that there is none.
    pub(super) async fn take(&self) -> Result<Session, Verdict> {
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|session| !session.client.is_closed());
            idle.pop()
        };
        match idle {
            Some(mut session) => {
                session.is_new = false;
                session.is_busy = true;
                Ok(session)
            }
            None => self.connect().await,
        }
    }

    /// A new connection; the idle ones are given up.
    ///
    /// # Errors
    /// What it means for deliveries that there is none.
    pub(super) async fn take_new(&self) -> Result<Session, Verdict> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.connect().await
    }

    /// Keeps a connection of which no transaction is open.
    pub(super) fn keep(&self, mut session: Session) {
        session.is_busy = false;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !session.client.is_closed() {
            idle.push(session);
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) async fn begin(&self, session: &Session) -> Result<(), Error> {
        session.client.batch_execute(&self.begin).await
    }

    /// Begins a transaction that makes a column wider.
    ///
    /// # Errors
    /// What PostgreSQL said.
    pub(super) async fn begin_widening(&self, session: &Session) -> Result<(), Error> {
        session.client.batch_execute(&self.begin_widening).await
    }

    async fn connect(&self) -> Result<Session, Verdict> {
        let encryption = if self.tls.is_some() { Encryption::Tls } else { Encryption::None };
        let stream = self.outbound.stream(&self.host, self.port, encryption).await;
        let stream = stream.map_err(|failure| Verdict::Retry { failure, after: None })?;
        let flood = Flood::default();
        self.log_in(stream, &flood).await.map_err(|error| {
            if flood.is_there() { errors::flooded() } else { errors::verdict(&error, &self.masker) }
        })
    }

    async fn log_in(&self, stream: TcpStream, flood: &Flood) -> Result<Session, Error> {
        let (client, task) = match self.tls.clone() {
            Some(mut tls) => {
                let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, &self.host);
                let tls = BoundedTls::new(tls, flood.clone());
                let (client, connection) = self.config.connect_raw(stream, tls).await?;
                (client, tokio::spawn(driven(connection)))
            }
            None => {
                let stream = Bounded::new(stream, flood.clone());
                let (client, connection) = self.config.connect_raw(stream, NoTls).await?;
                (client, tokio::spawn(driven(connection)))
            }
        };
        let flood = flood.clone();
        Ok(Session { client, catalog: Catalog::new(), is_new: true, is_busy: true, flood, task })
    }
}

/// Keeps a connection going to its end. What ends it is told to whoever waits for an answer on it. What the server remarks
/// is dropped: the library by itself would log it as it stands.
async fn driven<S, T>(mut connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(_)) = poll_fn(|context| connection.poll_message(context)).await {}
}

/// How a transaction begins whose statements have so much time, and so much for locks. The limits are of this transaction
/// only, so that a pooler between us and the database may hand out one connection to many.
fn begin_text(statement: Duration, lock: Duration) -> String {
    let (statement, lock) = (statement.as_millis().max(1), lock.as_millis().max(1));
    format!(
        "BEGIN; SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}; \
         SET LOCAL idle_in_transaction_session_timeout = {statement}; SET LOCAL client_min_messages = warning"
    )
}
