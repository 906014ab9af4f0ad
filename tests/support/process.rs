//! The real binary as a process: started on free ports and a fresh folder, awaited by what it
//! writes, and never left behind.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything awaited here takes on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// The binary, unaffected by settings that this process has inherited.
pub(crate) fn haremq() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haremq"));
    let ours = |name: &str| name.starts_with("HAREMQ_") || name == "STATE_DIRECTORY";
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

/// A folder of one test, removed with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn make() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("haremq-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running process. Its end and its lines arrive through channels, so that all waiting has a
/// deadline.
struct Process {
    pid: u32,
    status: Receiver<ExitStatus>,
    ended: Option<ExitStatus>,
    stdout: Receiver<String>,
    stderr: Option<Receiver<String>>,
}

impl Process {
    fn start(command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built for this test");
        let stdout = lines(child.stdout.take().expect("it is piped"));
        let stderr = Some(lines(child.stderr.take().expect("it is piped")));
        Process { pid: child.id(), status: status(child), ended: None, stdout, stderr }
    }

    /// The exit code; `None` if a signal ended it.
    fn wait(&mut self, limit: Duration) -> Option<i32> {
        let status = match self.ended {
            Some(status) => status,
            None => self.status.recv_timeout(limit).expect("the process ends in time"),
        };
        self.ended = Some(status);
        status.code()
    }

    fn signal(&self, name: &str) {
        assert!(self.ended.is_none(), "the process has ended");
        assert!(kill(name, self.pid).success(), "SIG{name} was not sent");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() && self.status.try_recv().is_err() {
            // It may end by itself at this very moment.
            let _ = kill("KILL", self.pid);
            let _ = self.status.recv_timeout(DEADLINE);
        }
    }
}

/// By the shell, whose `kill` needs neither `unsafe` nor another package.
fn kill(signal: &str, pid: u32) -> ExitStatus {
    let script = format!("kill -{signal} {pid}");
    let shell = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    shell.expect("there is a shell")
}

fn status(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // The process may already have been given up by its test.
        let _ = sender.send(child.wait().expect("it is our child"));
    });
    receiver
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                // Nobody reads any more: the pipe is closed.
                return;
            }
        }
    });
    receiver
}

/// What a process that ended by itself left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs the command to its end.
    pub(crate) fn of(command: &mut Command) -> Ended {
        let mut process = Process::start(command);
        let code = process.wait(DEADLINE);
        let joined = |lines: &Receiver<String>| lines.iter().collect::<Vec<_>>().join("\n");
        let stderr = process.stderr.as_ref().map(joined).unwrap_or_default();
        Ended { code, stdout: joined(&process.stdout), stderr }
    }
}

/// A broker that listens, with a folder of its own.
pub(crate) struct Broker {
    process: Process,
    scratch: Scratch,
    banner: Vec<String>,
    addresses: Vec<SocketAddr>,
}

impl Broker {
    /// Starts it on a free port of the loopback interface, and awaits its banner.
    pub(crate) fn start(words: &[&str]) -> Broker {
        Broker::start_on("1", words)
    }

    /// As [`Broker::start`], with so many cores.
    pub(crate) fn start_on(cores: &str, words: &[&str]) -> Broker {
        let scratch = Scratch::make();
        let mut command = haremq();
        // Unpinned, or all brokers of parallel tests would share one CPU.
        command.args(["server", "--listen", "127.0.0.1:0", "--cores", cores, "--no-pin"]);
        command.arg("--data-dir").arg(scratch.path()).args(words);
        let process = Process::start(&mut command);
        let banner = await_banner(&process);
        let addresses = addresses(&banner);
        assert!(!addresses.is_empty(), "{banner:#?}");
        Broker { process, scratch, banner, addresses }
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn banner(&self) -> &[String] {
        &self.banner
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Sends a signal: `TERM`, `HUP` ...
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// The exit code; `None` if a signal ended it.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        self.process.wait(limit)
    }

    /// Returns the next log line that has the text.
    pub(crate) fn await_log(&self, text: &str) -> String {
        let lines = self.process.stderr.as_ref().expect("the logs are still read");
        let seen = await_line(lines, |line| line.contains(text)).expect("the line is logged");
        seen.into_iter().next_back().expect("the awaited line is the last")
    }

    /// Closes the reading end of the broker's stderr, after at most one more line.
    pub(crate) fn stop_reading_logs(&mut self) {
        self.process.stderr = None;
    }
}

fn await_banner(process: &Process) -> Vec<String> {
    let is_last = |line: &str| line == "Ready." || line.contains("\"event\":\"started\"");
    await_line(&process.stdout, is_last).unwrap_or_else(|why| {
        let logs = process.stderr.as_ref().into_iter().flat_map(Receiver::try_iter);
        panic!("no banner: {why}; logs: {:#?}", logs.collect::<Vec<_>>())
    })
}

/// All lines up to the one that is awaited, or why it did not come.
fn await_line(
    lines: &Receiver<String>,
    is_awaited: impl Fn(&str) -> bool,
) -> Result<Vec<String>, String> {
    let until = Instant::now() + DEADLINE;
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| is_awaited(line)) {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => seen.push(line),
            Err(RecvTimeoutError::Timeout) => return Err(format!("too late, after {seen:#?}")),
            Err(RecvTimeoutError::Disconnected) => return Err(format!("ended after {seen:#?}")),
        }
    }
    Ok(seen)
}

/// Those of `amqp://ADDRESS` in the lines.
fn addresses(lines: &[String]) -> Vec<SocketAddr> {
    let urls = lines.iter().flat_map(|line| line.split("amqp://").skip(1));
    urls.filter_map(|rest| rest.split([' ', '"']).next()?.parse().ok()).collect()
}
