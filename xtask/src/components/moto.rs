//! A server that speaks the protocol of Amazon S3: moto (<https://docs.getmoto.org>), which keeps everything in memory.
//!
//! It is installed once from PyPI into an environment of its own, and needs Python. It takes any credentials.

use crate::project::{Project, run};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "5.2.5";

/// Enough for Python to load it on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a server that works may take for an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// How long lies between two looks at whether it answers.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A running server. It ends when dropped.
pub(super) struct Moto {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Moto {
    /// Installs the server if it isn't there, starts it, and waits until it answers. What it says goes to a file in the
    /// folder.
    pub(super) fn start(project: &Project, folder: &Path) -> Result<Self> {
        let python = installed(project)?;
        let address = free_address()?;
        let log = folder.join("moto.log");
        let out = File::create(&log).with_context(|| format!("{} can't be written", log.display()))?;
        let process = Command::new(python)
            .args(["-m", "moto.server", "-H", &address.ip().to_string(), "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("moto can't be started")?;
        let mut moto = Self { process, address, log };
        moto.wait()?;
        Ok(moto)
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait(&mut self) -> Result<()> {
        let by = Instant::now() + START_PATIENCE;
        while !answers(self.address) {
            if let Some(status) = self.process.try_wait()? {
                bail!("moto ended at once ({status}); it said: {}", self.said());
            }
            if Instant::now() >= by {
                bail!("moto does not answer after {} s; it said: {}", START_PATIENCE.as_secs(), self.said());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default().trim().to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It has nothing to lose, so it is not asked. If it has ended already, that is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python of the environment that the server is installed in.
fn installed(project: &Project) -> Result<PathBuf> {
    let folder = project.target.join("tools").join(format!("moto-{VERSION}"));
    let python = folder.join("bin").join("python");
    let whole = folder.join("installed");
    if whole.is_file() {
        return Ok(python);
    }
    println!("installing moto {VERSION} from PyPI");
    let mut venv = project.command("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    match venv.status() {
        Ok(status) if status.success() => {}
        Ok(status) => bail!(
            "python3 could not make an environment in {} ({status}); on Debian: apt-get install python3-venv",
            folder.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("python3 is missing; on Debian: apt-get install python3 python3-venv")
        }
        Err(error) => return Err(error).context("python3 could not be started"),
    }
    let package = format!("moto[server]=={VERSION}");
    run(project.command(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &package,
    ]))
    .context("is PyPI reachable?")?;
    File::create(&whole).with_context(|| format!("{} can't be written", whole.display()))?;
    Ok(python)
}

/// An address on loopback that nobody has.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}

/// Whether there is an answer to a request.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.write_all(format!("GET /moto-api/ HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes())?;
        let mut begins = [0; 12];
        stream.read_exact(&mut begins)?;
        Ok(begins.starts_with(b"HTTP/1.") && begins.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
