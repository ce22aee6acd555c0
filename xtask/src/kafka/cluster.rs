//! A cluster of brokers for tests: put up, taken down, and each broker alone stopped, killed, started, paused and
//! resumed.
//!
//! Brokers are processes that outlive the program that starts them. What is known about them is what their
//! cluster's folder says. Whatever changes them holds the cluster's lock.

use super::fetch;
use super::layout::Layout;
use super::lock::Lock;
use super::process::{LOOK_AGAIN, Process, State};
use super::settings::{self, CLUSTER_ID, LOG4J};
use super::wire::known_brokers;
use crate::project::Project;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Enough for every broker on a loaded machine to come up, or to come back after `kill -9`.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// A broker hands its partitions over within a second or two. The last ones of a cluster can't, because no
/// controller answers them any more, and would try for five minutes.
const STOP_PATIENCE: Duration = Duration::from_secs(12);
/// How long a broker that works may take for an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// How long SIGKILL may take.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// Memory of a broker's heap. Messages are in the page cache.
const HEAP: &str = "-Xmx384m";
/// How much of a broker's log is shown when something went wrong.
const LOG_LINES_SHOWN: usize = 15;

/// How a broker is.
pub(super) enum Condition {
    /// It answers, and knows so many brokers to be alive.
    Answers(usize),
    /// It runs and does not answer.
    Silent,
    /// It was sent SIGSTOP.
    Paused,
    /// It does not run.
    Stopped,
}

/// A cluster whose folder is there.
pub(crate) struct Cluster<'a> {
    project: &'a Project,
    layout: Layout,
}

/// What [`Cluster::up`] found.
pub(super) enum Found {
    /// Nothing: it was started.
    Nothing,
    /// It was up already.
    Up,
}

impl<'a> Cluster<'a> {
    /// Puts a new and empty cluster up, unless it is up already.
    ///
    /// # Errors
    /// If something is missing that is needed, a port is taken, another cluster or a part of this one is up
    /// there, or a broker does not come up.
    pub(super) fn up(project: &'a Project, port: u16, brokers: u16) -> Result<(Self, Found)> {
        let layout = Layout::new(&fetch::home(project), port, brokers);
        let _lock = Lock::take(&layout.lock())?;
        if let Some(there) = Layout::open(&fetch::home(project), port)? {
            let there = Self { project, layout: there };
            let running: Vec<u16> = there.running().collect();
            if running.is_empty() {
                // Left over, by a restart of the machine maybe. A new cluster begins empty.
                remove(there.layout.folder())?;
            } else if there.layout != layout {
                bail!(
                    "a cluster of {} is up on port {port}; take it down first: cargo xtask kafka down --port {port}",
                    there.layout.brokers
                );
            } else if running.len() < usize::from(brokers) {
                bail!(
                    "only brokers {running:?} of {brokers} run on port {port}; start the others with `cargo xtask kafka start`, or take them down"
                );
            } else {
                there.wait_for(&running, usize::from(brokers))?;
                return Ok((there, Found::Up));
            }
        }
        let cluster = Self { project, layout };
        cluster.ports_are_free()?;
        cluster.prepare()?;
        let all: Vec<u16> = cluster.layout.numbers().collect();
        let started = all.iter().try_for_each(|number| cluster.spawn(*number));
        if let Err(why) = started.and_then(|()| cluster.wait_for(&all, all.len())) {
            cluster.end(&all, Signal::KILL)?;
            return Err(why);
        }
        Ok((cluster, Found::Nothing))
    }

    /// The cluster with this port.
    ///
    /// # Errors
    /// If none was put up.
    pub(super) fn open(project: &'a Project, port: u16) -> Result<Self> {
        let layout = Layout::open(&fetch::home(project), port)?;
        let layout = layout.with_context(|| {
            format!("no brokers are up on port {port}; start them with `cargo xtask kafka up --port {port}`")
        })?;
        Ok(Self { project, layout })
    }

    /// Takes the cluster with this port down, and its data away. Tells whether there was one.
    pub(super) fn down(project: &'a Project, port: u16) -> Result<bool> {
        let home = fetch::home(project);
        let _lock = Lock::take(&Layout::new(&home, port, 1).lock())?;
        let Some(layout) = Layout::open(&home, port)? else { return Ok(false) };
        let cluster = Self { project, layout };
        let all: Vec<u16> = cluster.layout.numbers().collect();
        cluster.end(&all, Signal::TERM)?;
        remove(cluster.layout.folder())?;
        Ok(true)
    }

    /// What a client is given to find it.
    pub(crate) fn bootstrap(&self) -> String {
        self.layout.bootstrap()
    }

    /// Starts brokers that don't run, and waits until they answer.
    pub(super) fn start(&self, numbers: &[u16]) -> Result<()> {
        let _lock = self.lock_for(numbers)?;
        for number in numbers {
            if self.state(*number) == State::Gone {
                self.spawn(*number)?;
            }
        }
        self.wait_for(numbers, 1)
    }

    /// Ends brokers: with SIGTERM they hand over first and are killed only if they can't.
    pub(super) fn stop(&self, numbers: &[u16], signal: Signal) -> Result<()> {
        let _lock = self.lock_for(numbers)?;
        self.end(numbers, signal)
    }

    /// Sends a signal to brokers that run.
    pub(super) fn signal(&self, numbers: &[u16], signal: Signal) -> Result<()> {
        let _lock = self.lock_for(numbers)?;
        for number in numbers {
            let process = self.process(*number).filter(|process| process.state() != State::Gone);
            process.with_context(|| format!("broker {number} does not run"))?.signal(signal)?;
        }
        Ok(())
    }

    /// Each broker, its address, and how it is.
    pub(super) fn conditions(&self) -> impl Iterator<Item = (u16, String, Condition)> {
        self.layout.numbers().map(move |number| {
            let address = self.layout.broker(number);
            let condition = match self.state(number) {
                State::Gone => Condition::Stopped,
                State::Paused => Condition::Paused,
                State::Running => match known_brokers(address, ANSWER_PATIENCE) {
                    Ok(known) => Condition::Answers(known.len()),
                    Err(_) => Condition::Silent,
                },
            };
            (number, address.to_string(), condition)
        })
    }

    /// Prints the end of each broker's log.
    pub(super) fn show_logs(&self) {
        for number in self.layout.numbers() {
            eprintln!("── broker {number}\n{}", tail(&self.layout.log(number)));
        }
    }

    fn lock_for(&self, numbers: &[u16]) -> Result<Lock> {
        for number in numbers {
            ensure!(
                self.layout.numbers().contains(number),
                "there is no broker {number}; they are numbered 1 to {}",
                self.layout.brokers
            );
        }
        Lock::take(&self.layout.lock())
    }

    fn ports_are_free(&self) -> Result<()> {
        for number in self.layout.numbers() {
            for address in [self.layout.broker(number), self.layout.controller(number)] {
                TcpListener::bind(address)
                    .with_context(|| format!("{address} is taken; choose other ports with --port"))?;
            }
        }
        Ok(())
    }

    /// Writes the settings and makes the data folders.
    fn prepare(&self) -> Result<()> {
        let layout = &self.layout;
        let jars = fetch::jars(self.project)?;
        layout.save()?;
        std::fs::write(layout.log4j(), LOG4J)?;
        for number in layout.numbers() {
            std::fs::create_dir_all(layout.data(number))?;
            std::fs::write(layout.properties(number), settings::properties(layout, number))?;
            let output = self
                .java(&jars, "kafka.tools.StorageTool")
                .args(["format", "--cluster-id", CLUSTER_ID, "--config"])
                .arg(layout.properties(number))
                .output()
                .context("java could not be started")?;
            if !output.status.success() {
                let (out, err) = (&output.stdout, &output.stderr);
                bail!(
                    "the data of broker {number} can't be formatted: {}{}",
                    String::from_utf8_lossy(out),
                    String::from_utf8_lossy(err)
                );
            }
        }
        Ok(())
    }

    fn java(&self, jars: &Path, class: &str) -> Command {
        let mut settings = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
        settings.push(self.layout.log4j());
        let mut command = self.project.command("java");
        command.args([HEAP, "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]).arg(settings);
        command.arg("-cp").arg(jars.join("*")).arg(class);
        command
    }

    /// Starts a broker and remembers it.
    #[allow(clippy::zombie_processes, reason = "a broker outlives this program, which remembers it on disk")]
    fn spawn(&self, number: u16) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.layout.log(number))?;
        let child = self
            .java(&fetch::jars(self.project)?, "kafka.Kafka")
            .arg(self.layout.properties(number))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Of its own, so that Ctrl-C in a terminal does not reach it.
            .process_group(0)
            .spawn()
            .context("java could not be started")?;
        let process = Process::with_id(child.id())?;
        std::fs::write(self.layout.process(number), process.to_string())?;
        Ok(())
    }

    /// Sends a signal to brokers, all at once, and SIGKILL to those that don't end from it.
    fn end(&self, numbers: &[u16], signal: Signal) -> Result<()> {
        let processes: Vec<Process> = numbers.iter().filter_map(|number| self.process(*number)).collect();
        for process in &processes {
            process.signal(signal)?;
            // One that is paused would not see the signal.
            process.signal(Signal::CONT)?;
        }
        let by = Instant::now() + STOP_PATIENCE;
        for process in &processes {
            if !process.gone_by(by) {
                process.signal(Signal::KILL)?;
                ensure!(process.gone_by(Instant::now() + KILL_PATIENCE), "process {process} does not end");
            }
        }
        Ok(())
    }

    /// Waits until these brokers answer, each knowing itself and at least so many to be alive.
    fn wait_for(&self, numbers: &[u16], alive: usize) -> Result<()> {
        let by = Instant::now() + START_PATIENCE;
        for number in numbers {
            let address = self.layout.broker(*number);
            loop {
                let known = known_brokers(address, ANSWER_PATIENCE).unwrap_or_default();
                if known.len() >= alive && known.contains(&i32::from(*number)) {
                    break;
                }
                let log = self.layout.log(*number);
                match self.state(*number) {
                    State::Running => {}
                    State::Paused => {
                        bail!("broker {number} is paused; `cargo xtask kafka resume {number}` lets it go on")
                    }
                    State::Gone => bail!("broker {number} ended:\n{}", tail(&log)),
                }
                if Instant::now() >= by {
                    bail!(
                        "broker {number} did not come up within {} s; the end of {}:\n{}",
                        START_PATIENCE.as_secs(),
                        log.display(),
                        tail(&log)
                    );
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = u16> {
        self.layout.numbers().filter(move |number| self.state(*number) != State::Gone)
    }

    fn state(&self, number: u16) -> State {
        self.process(number).map_or(State::Gone, Process::state)
    }

    fn process(&self, number: u16) -> Option<Process> {
        std::fs::read_to_string(self.layout.process(number)).ok()?.parse().ok()
    }
}

fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).with_context(|| format!("{} can't be removed", folder.display()))
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
