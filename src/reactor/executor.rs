//! Hosting a core loop: one glommio executor per core, pinned, with one task in it.

use std::any::Any;
use std::io;
use std::time::Duration;

use glommio::{
    BuilderErrorKind, ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement,
};

use crate::machine::{self, MachineProblem};

/// Practically never: a preempt timer that fires while its thread is stalled can make the executor
/// park although its task is runnable. (`Duration::MAX` overflows.)
const PREEMPT_TIMER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Pinned three times per executor, and of no use to a task that never does I/O through it.
const IO_MEMORY_BYTES: usize = 1 << 20;
const RING_DEPTH: usize = 1024;

/// Where a core loop runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorePlacement {
    /// The CPU to pin to; `None` leaves the thread to the scheduler.
    pub cpu: Option<usize>,
    /// The thread's name; the kernel shows 15 bytes of it.
    pub name: String,
}

/// Why a core loop did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The machine does not allow what an executor needs.
    #[error(transparent)]
    Machine(#[from] MachineProblem),
    /// The CPU is not one that this process may run on.
    #[error("CPU {cpu} is not available; choose from {allowed:?} (--cores)")]
    CpuNotAllowed {
        /// The CPU that was asked for.
        cpu: usize,
        /// Those that the scheduler allows.
        allowed: Vec<usize>,
    },
    /// The host refused.
    #[error("no executor for {name}: {reason}; `haremq doctor` tests what it needs")]
    Refused {
        /// Name of the core's thread.
        name: String,
        /// In the host's words.
        reason: String,
    },
    /// The core loop panicked.
    #[error("{name} panicked: {text}")]
    Panicked {
        /// Name of the core's thread.
        name: String,
        /// The panic's text.
        text: String,
    },
}

/// A running core loop.
#[derive(Debug)]
pub struct CoreHandle<T: Send + 'static> {
    name: String,
    handle: ExecutorJoinHandle<T>,
}

impl<T: Send + 'static> CoreHandle<T> {
    /// Waits for the core loop to end, and returns what it returned.
    ///
    /// # Errors
    /// `Refused` if it could not even begin, `Panicked` if it panicked (where panics unwind).
    pub fn join(self) -> Result<T, ExecutorError> {
        let CoreHandle { name, handle } = self;
        handle.join().map_err(|error| executor_error(name, error))
    }
}

/// Starts a thread for one core and runs `body`, the core loop, on it to its end. The body must
/// not use glommio: nothing runs beside it.
///
/// # Errors
/// [`ExecutorError`], before anything has started, if the machine is unfit; [`CoreHandle::join`]
/// tells the rest.
pub fn spawn_core<F, T>(placement: CorePlacement, body: F) -> Result<CoreHandle<T>, ExecutorError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    machine::check_executor_needs()?;
    let CorePlacement { cpu, name } = placement;
    let on_cpu = match cpu {
        Some(cpu) => Placement::Fixed(allowed_cpu(cpu)?),
        None => Placement::Unbound,
    };
    let spawned = LocalExecutorBuilder::new(on_cpu)
        .name(&name)
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .spawn(move || async move { body() });
    match spawned {
        Ok(handle) => Ok(CoreHandle { name, handle }),
        Err(error) => Err(executor_error(name, error)),
    }
}

fn allowed_cpu(cpu: usize) -> Result<usize, ExecutorError> {
    let allowed = machine::allowed_cpus();
    if allowed.contains(&cpu) {
        Ok(cpu)
    } else {
        Err(ExecutorError::CpuNotAllowed { cpu, allowed })
    }
}

fn executor_error(name: String, error: GlommioError<()>) -> ExecutorError {
    match error {
        GlommioError::BuilderError(BuilderErrorKind::ThreadPanic(payload)) => {
            ExecutorError::Panicked { name, text: panic_text(payload.as_ref()) }
        }
        GlommioError::IoError(source) | GlommioError::EnhancedIoError { source, .. }
            if is_lack(&source) =>
        {
            MachineProblem::from_ring_error(source).into()
        }
        error => ExecutorError::Refused { name, reason: error.to_string() },
    }
}

/// Something that the machine could give, and whose remedy is known.
fn is_lack(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE))
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let literal = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(no text)".to_owned())
}
