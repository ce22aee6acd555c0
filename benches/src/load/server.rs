//! The server under load: started here on a data directory, or found running.

use super::directory::{Place, Stamp};
use anyhow::{Context, bail, ensure};
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

/// The admin token and the write key of servers that are started here.
const TOKEN: &str = "the-admin-token-of-a-load";
const WRITE_KEY: &str = "the-write-key-of-a-load";

/// Which server to drive.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TargetArgs {
    /// Start this binary of Tributary for the run, on free ports
    #[arg(long, value_name = "BINARY")]
    pub(crate) start: Option<PathBuf>,
    /// An argument for the started server, such as --server-arg=--log; can be given several times
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true, requires = "start")]
    pub(crate) server_arg: Vec<String>,
    /// A variable of the started server's environment; can be given several times
    #[arg(long, value_name = "NAME=VALUE", requires = "start")]
    pub(crate) server_env: Vec<String>,
    /// Let the started server keep its data here [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Let the started server begin with a copy of this data directory, made by `load prepare`
    #[arg(long, value_name = "DIR", requires = "start", conflicts_with = "data_dir")]
    pub(crate) population: Option<PathBuf>,
    /// Where temporary directories go; a file system in memory makes every fsync free [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Address of a running server's tracking API
    #[arg(long, value_name = "IP:PORT", conflicts_with = "start")]
    pub(crate) http: Option<SocketAddr>,
    /// Address of a running server's gRPC
    #[arg(long, value_name = "IP:PORT", conflicts_with = "start")]
    pub(crate) grpc: Option<SocketAddr>,
    /// Address of a running server's profile and admin API
    #[arg(long, value_name = "IP:PORT", conflicts_with = "start")]
    pub(crate) api: Option<SocketAddr>,
    /// Write key of a running server
    #[arg(long, value_name = "KEY", conflicts_with = "start")]
    pub(crate) write_key: Option<String>,
    /// Admin token of a running server
    #[arg(long, value_name = "TOKEN", conflicts_with = "start")]
    pub(crate) token: Option<String>,
    /// Process id of a running server, for CPU, memory and disk
    #[arg(long, value_name = "PID", conflicts_with = "start")]
    pub(crate) pid: Option<u32>,
}

/// What has to be known of a server to drive it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) http: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) write_key: String,
    pub(crate) token: String,
    pub(crate) pid: Option<u32>,
    pub(crate) data_dir: Option<PathBuf>,
    /// What `--version` of the started binary says.
    pub(crate) version: Option<String>,
}

/// How a server is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A server that was started here. Dropped, it is killed as by `kill -9`.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) target: Target,
    pub(crate) spawned: Instant,
    child: Child,
    // Held, so that what the server prints later does not meet a closed pipe.
    _lines: Lines<BufReader<ChildStdout>>,
}

/// A server to drive, started or found.
#[derive(Debug)]
pub(crate) struct Driven {
    pub(crate) target: Target,
    /// Whom its data directory holds, if it has a stamp.
    pub(crate) stamp: Option<Stamp>,
    // Ended before its directory goes away: fields are dropped in this order.
    started: Option<Started>,
    _place: Option<Place>,
}

impl TargetArgs {
    /// Starts the server, or takes the running one.
    ///
    /// # Errors
    /// If it can't be started, or what has to be known is not given.
    pub(crate) fn open(&self) -> anyhow::Result<Driven> {
        if let Some(launch) = self.launch()? {
            return self.start(&launch);
        }
        let target = Target {
            http: self
                .http
                .context("say which server: --start BINARY, or --http, --api, --write-key, --token")?,
            api: self.api.context("--api is missing: the address of profile and admin API")?,
            grpc: self.grpc,
            write_key: self.write_key.clone().context("--write-key is missing")?,
            token: self.token.clone().context("--token is missing: the admin token")?,
            pid: self.pid,
            data_dir: self.data_dir.clone(),
            version: None,
        };
        let stamp = self.data_dir.as_deref().map(Stamp::read).transpose()?.flatten();
        Ok(Driven { target, stamp, started: None, _place: None })
    }

    /// Starts a server as `launch` says, where these arguments say.
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn start(&self, launch: &Launch) -> anyhow::Result<Driven> {
        let scratch = self.scratch.as_deref();
        let place = match (&self.data_dir, &self.population) {
            (Some(path), _) => Place::kept(path),
            (None, Some(original)) => {
                let stamp = Stamp::read(original)?;
                ensure!(
                    stamp.is_some(),
                    "{} holds no population; `load prepare` makes one",
                    original.display()
                );
                Place::copy_of(original, scratch)?
            }
            (None, None) => Place::temporary(scratch)?,
        };
        let stamp = Stamp::read(place.path())?;
        let started = launch.start(place.path())?;
        Ok(Driven { target: started.target.clone(), stamp, started: Some(started), _place: Some(place) })
    }

    /// How the server is to be started, if it is.
    ///
    /// # Errors
    /// If a variable has no value.
    pub(crate) fn launch(&self) -> anyhow::Result<Option<Launch>> {
        let Some(binary) = &self.start else { return Ok(None) };
        let variable = |text: &String| -> anyhow::Result<(String, String)> {
            let (name, value) = text.split_once('=').with_context(|| format!("{text} is not NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        Ok(Some(Launch {
            binary: binary.clone(),
            arguments: self.server_arg.clone(),
            environment: self.server_env.iter().map(variable).collect::<anyhow::Result<_>>()?,
        }))
    }
}

impl Launch {
    /// Starts the server on this data directory and waits until it tells its addresses.
    ///
    /// # Errors
    /// If it can't be started, or ends before that.
    pub(crate) fn start(&self, data_dir: &Path) -> anyhow::Result<Started> {
        let version = self.version()?;
        let mut command = Command::new(&self.binary);
        command
            .args(["--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
            .arg("--allow-private-destinations")
            .arg("--data-dir")
            .arg(data_dir)
            .args(&self.arguments)
            .env("TRIBUTARY_LOG", "warn")
            .env("TRIBUTARY_ADMIN_TOKEN", TOKEN)
            .env("TRIBUTARY_WRITE_KEY", WRITE_KEY)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let spawned = Instant::now();
        let mut child =
            command.spawn().with_context(|| format!("{} can't be started", self.binary.display()))?;
        let output = child.stdout.take().context("the server's output is not to be read")?;
        let mut lines = BufReader::new(output).lines();
        let Some(addresses) = Addresses::told(&mut lines) else {
            // It has ended, or tells nothing that is known: then it must not stay.
            let _gone = child.kill();
            let status = child.wait()?;
            bail!("the server ended before it told its addresses ({status}); what it wrote stands above");
        };
        let target = Target {
            http: addresses.http,
            api: addresses.api,
            grpc: addresses.grpc,
            write_key: WRITE_KEY.to_owned(),
            token: TOKEN.to_owned(),
            pid: Some(child.id()),
            data_dir: Some(data_dir.to_owned()),
            version: Some(version),
        };
        Ok(Started { target, spawned, child, _lines: lines })
    }

    fn version(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.binary).arg("--version").output();
        let output = output.with_context(|| format!("{} can't be started", self.binary.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Where a server listens.
#[derive(Debug, PartialEq, Eq)]
struct Addresses {
    http: SocketAddr,
    api: SocketAddr,
    grpc: Option<SocketAddr>,
}

impl Addresses {
    /// From what the server prints at its start; `None` if it ends before. The address of the private face comes
    /// last.
    fn told(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Option<Self> {
        let (mut http, mut grpc) = (None, None);
        for line in lines {
            let line = line.ok()?;
            let address = |name: &str| {
                line.strip_prefix(name)?.trim().strip_prefix("http://")?.parse::<SocketAddr>().ok()
            };
            http = http.or_else(|| address("tracking API"));
            grpc = grpc.or_else(|| address("gRPC"));
            if let Some(api) = address("profile and admin API") {
                return Some(Self { http: http?, api, grpc });
            }
        }
        None
    }
}

impl Started {
    /// Tells it to stop, and waits until it has.
    ///
    /// # Errors
    /// If it does not end with success.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("the server has ended")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server did not stop cleanly: {status}");
        Ok(())
    }

    /// Kills it, as `kill -9` does.
    ///
    /// # Errors
    /// If it can't be.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Already ended in the common case.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Driven {
    /// Lets a started server stop in good order; a found one is left alone.
    ///
    /// # Errors
    /// If it does not end with success.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.started.take().map_or(Ok(()), Started::stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<Addresses> {
        Addresses::told(&mut text.lines().map(|line| Ok(line.to_owned())))
    }

    #[test]
    fn addresses_are_read_as_they_are_printed() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let text = "tracking API  http://127.0.0.1:1\ngRPC  http://127.0.0.1:2\n\
                    profile and admin API  http://127.0.0.1:3\nwrite key  x\n";
        let want = Addresses { http: address(1), api: address(3), grpc: Some(address(2)) };
        assert_eq!(told(text), Some(want));
        let without = text.replace("gRPC", "something else");
        assert_eq!(told(&without), Some(Addresses { http: address(1), api: address(3), grpc: None }));
        assert_eq!(told("tracking API  http://127.0.0.1:1\n"), None);
        assert_eq!(told(""), None);
    }

    #[test]
    fn a_server_has_to_be_named() {
        assert!(TargetArgs::default().open().is_err());
        let start = Some(PathBuf::from("tributary"));
        let good = TargetArgs { start, server_env: vec!["A=b=c".to_owned()], ..TargetArgs::default() };
        let launch = good.launch().expect("sound").expect("to be started");
        assert_eq!(launch.environment, [("A".to_owned(), "b=c".to_owned())]);
        let bad = TargetArgs { server_env: vec!["A".to_owned()], ..good };
        assert!(bad.launch().is_err());
    }
}
