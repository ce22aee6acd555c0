//! PostgreSQL from Debian's packages (<https://www.postgresql.org/docs/current/server-start.html>), with nothing in it.
//!
//! It listens on loopback only, takes passwords and, beside plain connections, encrypted ones by a certificate of its own.
//! It refuses to run as root: then it runs as the user `postgres`, which the package makes. It forgets nothing faster than
//! its folder does, so nothing is ever flushed to the disk.

use crate::project::run;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian's packages put versions of it.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The user that it runs as where we are root.
const ACCOUNT: &str = "postgres";
/// Its own first role, which may do anything.
const ROLE: &str = "postgres";
const PASSWORD: &str = "tributary-tests";
const DATABASE: &str = "postgres";

/// Enough for it to come up on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long lies between two looks at whether it answers.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Names for which its certificate is good.
const CERTIFICATE_NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

/// A running server. It ends when dropped.
pub(super) struct Postgresql {
    process: Child,
    port: u16,
    root_certificate: PathBuf,
}

/// Installs the packages if they aren't there, makes a cluster in the folder, starts it, and waits until it answers.
pub(super) fn start(folder: &Path) -> Result<Postgresql> {
    let programs = installed()?;
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD)?;
    let root_certificate = certificates(folder)?;
    if geteuid().is_root() {
        run(Command::new("chown").args(["--recursive", &format!("{ACCOUNT}:")]).arg(folder))?;
    }
    let data = folder.join("data");
    let mut make = account(programs.join("initdb"), folder);
    make.args(["--username", ROLE, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"]);
    make.args(["--no-sync", "--pgdata"]).arg(&data).arg("--pwfile").arg(&password);
    run(make.stdout(Stdio::null())).with_context(|| {
        format!("a cluster can't be made; may the user `{ACCOUNT}` reach {}?", folder.display())
    })?;
    let port = free_port()?;
    let log = folder.join("postgresql.log");
    let out = File::create(&log).with_context(|| format!("{} can't be written", log.display()))?;
    let mut serve = account(programs.join("postgres"), folder);
    serve.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "ssl=on",
    ] {
        serve.args(["-c", setting]);
    }
    for (setting, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
        serve.arg("-c").arg(format!("{setting}={}", folder.join(file).display()));
    }
    let process = serve.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn();
    let process = process.context("postgres can't be started")?;
    let mut server = Postgresql { process, port, root_certificate };
    server.wait(&programs, &log)?;
    Ok(server)
}

impl Postgresql {
    /// Where it is, as its own clients write it.
    pub(super) fn url(&self) -> String {
        let (port, certificate) = (self.port, self.root_certificate.display());
        format!("postgres://{ROLE}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}?sslrootcert={certificate}")
    }

    fn wait(&mut self, programs: &Path, log: &Path) -> Result<()> {
        let by = Instant::now() + START_PATIENCE;
        let said = || std::fs::read_to_string(log).unwrap_or_default().trim().to_owned();
        loop {
            let mut ask = Command::new(programs.join("pg_isready"));
            ask.args(["--quiet", "--host", "127.0.0.1", "--port", &self.port.to_string()]);
            if ask.status().context("pg_isready can't be started")?.success() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("postgres ended at once ({status}); it said: {}", said());
            }
            if Instant::now() >= by {
                bail!("postgres does not answer after {} s; it said: {}", START_PATIENCE.as_secs(), said());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Postgresql {
    fn drop(&mut self) {
        // Asked to end without waiting for its clients, it ends the processes that it has started. If it has ended
        // already, that is as well.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
    }
}

/// The folder with the programs of the newest version that is there.
fn installed() -> Result<PathBuf> {
    if let Some(programs) = newest() {
        return Ok(programs);
    }
    if !geteuid().is_root() {
        bail!("PostgreSQL is missing; on Debian: apt-get install postgresql openssl");
    }
    println!("installing PostgreSQL from Debian's packages");
    run(Command::new("apt-get").args(["update", "--quiet=2"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet=2", "--no-install-recommends", "postgresql", "openssl"]);
    // In this runlevel the package starts no server of its own.
    run(install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdout(Stdio::null()))?;
    newest().with_context(|| format!("there is no initdb below {VERSIONS}"))
}

fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).ok()?.flatten();
    let numbered = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let programs = version.path().join("bin");
        programs.join("initdb").is_file().then_some((number, programs))
    });
    numbered.max().map(|(_, programs)| programs)
}

/// A command that runs as a user that PostgreSQL accepts, in a folder where that user may be.
fn account(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--init-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder);
    command
}

/// Makes a root certificate, and with it one for the server; tells where the root is.
fn certificates(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root.pem");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        run(&mut command).context("a certificate can't be made; on Debian: apt-get install openssl")
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let own = ["req", "-x509", "-subj", "/CN=Tests", "-keyout", "root.key", "-out", "root.pem"];
    openssl(&[&own[..], &key[..]].concat())?;
    let server = ["req", "-x509", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem"];
    let signed = ["-CA", "root.pem", "-CAkey", "root.key", "-addext", CERTIFICATE_NAMES];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(&[&server[..], &signed[..], &leaf[..], &key[..]].concat())?;
    Ok(root)
}

/// A port on loopback that nobody has.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}
