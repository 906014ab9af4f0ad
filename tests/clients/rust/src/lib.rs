//! Runs the checks of one suite and prints one line for each.
//!
//! A line is `PASS <suite> <check>` or `FAIL <suite> <check>: <why>`; `run` counts them.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::LocalSet;
use tokio::time::timeout;

/// What a check, and everything that it calls, ends with.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A check: its name and what starts it.
pub type Check = (&'static str, fn() -> Pin<Box<dyn Future<Output = Outcome>>>);

const CHECK_MAX: Duration = Duration::from_secs(30);
const EVENT_MAX: Duration = Duration::from_secs(10);

/// The pairs of a topic pattern's routing keys and whether they match, by pattern.
pub type TopicCases = BTreeMap<&'static str, BTreeMap<&'static str, bool>>;

/// Where the last panic was and what it said; a task's join error has only the latter.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// The program of a suite: `suite!("name": module::check, module::check)`. It has one thread: with
/// more, amqprs can see the answer of a `basic.get` before it has noted who asked, and then
/// panics.
#[macro_export]
macro_rules! suite {
    ($name:literal: $($module:ident::$check:ident),+ $(,)?) => {
        #[tokio::main(flavor = "current_thread")]
        async fn main() -> std::process::ExitCode {
            $crate::run($name, &[$((stringify!($check), || Box::pin($module::$check()))),+]).await
        }
    };
}

/// Runs all checks; the code is that of success only if all passed.
pub async fn run(suite: &str, checks: &[Check]) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        *PANIC.lock().expect("nothing panics while it holds this lock") = info.to_string();
    }));
    let mut failed = checks.is_empty();
    for (name, check) in checks {
        match one(*check).await {
            Ok(()) => println!("PASS {suite} {name}"),
            Err(why) => {
                failed = true;
                let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
                println!("FAIL {suite} {name}: {why}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn one(check: fn() -> Pin<Box<dyn Future<Output = Outcome>>>) -> Result<(), String> {
    let local = LocalSet::new();
    // A task of its own, so that a panic ends the check and not the suite.
    let task = local.run_until(async { tokio::task::spawn_local(check()).await });
    match timeout(CHECK_MAX, task).await {
        Ok(Ok(outcome)) => outcome.map_err(|error| error.to_string()),
        Ok(Err(_)) => Err(PANIC.lock().expect("the hook does not panic").clone()),
        Err(_) => Err(format!("not done after {CHECK_MAX:?}")),
    }
}

/// The broker's address.
pub fn uri() -> String {
    std::env::var("AMQP_URI").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2F".into())
}

/// What the future gives, or an error when that takes longer than any event may.
pub async fn soon<T>(what: impl Future<Output = T>) -> Outcome<T> {
    timeout(EVENT_MAX, what).await.map_err(|_| format!("nothing came within {EVENT_MAX:?}").into())
}

/// Asks the broker again until the answer is yes; each question is a round trip.
pub async fn until(mut is_done: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    soon(async {
        while !is_done().await? {}
        Ok(())
    })
    .await?
}

/// A name that no earlier run has used.
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the epoch is over");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("clients.{stem}.{:x}.{:x}.{count}", std::process::id(), since.as_nanos())
}

/// The pairs of topic_cases.tsv.
pub fn topic_cases() -> TopicCases {
    let mut cases = TopicCases::new();
    for line in include_str!("../../topic_cases.tsv").lines() {
        let mut columns = line.split('\t');
        let mut next = || columns.next().expect("a line has three columns");
        let (pattern, key, verdict) = (next(), next(), next());
        cases.entry(pattern).or_default().insert(key, verdict == "match");
    }
    cases
}

/// Bodies at the sizes where framing changes, `frame_max` being the negotiated limit.
pub fn bodies_of_all_sizes(frame_max: usize) -> Vec<Vec<u8>> {
    let frame = frame_max - 8;
    [0, 1, frame - 1, frame, frame + 1, 2 * 1024 * 1024]
        .map(|size| (0..size).map(|index| (index % 251) as u8).collect())
        .to_vec()
}
