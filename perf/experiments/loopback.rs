//! What a send and a receive over loopback cost: S per call and k per octet of the model.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use haremq_reactor::{CorePlacement, spawn_core};
use serde_json::{Map, Value, json};

use crate::PlaceOptions;
use crate::samples::{ns_per_call, thread_cpu_ns};

const SIZES: [usize; 10] =
    [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];
/// What a core reads at once.
const RECEIVE_BYTES: usize = 128 << 10;

/// # Errors
/// What the machine refuses, for the user.
pub(crate) fn measure(options: PlaceOptions) -> Result<Value, String> {
    let time = Duration::from_millis(options.time_ms);
    let (mut same, mut cross) = (Map::new(), Map::new());
    for size in SIZES {
        let hop = on_cpu(options.cpu, move || same_thread(size, time))?;
        same.insert(size.to_string(), hop?);
        cross.insert(size.to_string(), across(options, size, time)?);
    }
    Ok(json!({ "same_thread_ns_per_hop": same, "across_cores": cross }))
}

fn on_cpu<T: Send + 'static>(
    cpu: usize,
    body: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<Result<T, String>, String> {
    let placement = CorePlacement { cpu: Some(cpu), name: "loopback".to_owned() };
    spawn_core(placement, body).and_then(|core| core.join()).map_err(|error| error.to_string())
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let first = TcpStream::connect(listener.local_addr()?)?;
    let (second, _) = listener.accept()?;
    first.set_nodelay(true)?;
    second.set_nodelay(true)?;
    Ok((first, second))
}

/// One thread sends `size` octets and receives them.
fn same_thread(size: usize, time: Duration) -> Result<Value, String> {
    let (mut first, mut second) = pair().map_err(|error| error.to_string())?;
    first.set_nonblocking(true).map_err(|error| error.to_string())?;
    second.set_nonblocking(true).map_err(|error| error.to_string())?;
    let (output, mut input) = (vec![1; size], vec![0; RECEIVE_BYTES]);
    Ok(ns_per_call(time, || {
        let (mut sent, mut received) = (0, 0);
        while received < size {
            if sent < size {
                sent += count(first.write(&output[sent..]));
            }
            received += count(second.read(&mut input));
        }
    }))
}

fn count(done: io::Result<usize>) -> usize {
    match done {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("loopback has no errors: {error}"),
    }
}

/// One core sends `size` octets per call as fast as it can, the other one receives what is there.
fn across(options: PlaceOptions, size: usize, time: Duration) -> Result<Value, String> {
    let (mut first, mut second) = pair().map_err(|error| error.to_string())?;
    let began = Instant::now();
    let placement = |cpu| CorePlacement { cpu: Some(cpu), name: "loopback".to_owned() };
    let sender = spawn_core(placement(options.cpu), move || {
        let output = vec![1; size];
        let (cpu_ns, mut calls) = (thread_cpu_ns(), 0u64);
        while began.elapsed() < time {
            first.write_all(&output).expect("the other core reads to the end");
            calls += 1;
        }
        (calls, thread_cpu_ns() - cpu_ns)
    });
    let receiver = spawn_core(placement(options.other_cpu), move || {
        let mut input = vec![0; RECEIVE_BYTES];
        let (cpu_ns, mut calls, mut octets) = (thread_cpu_ns(), 0u64, 0u64);
        loop {
            match second.read(&mut input).expect("loopback has no errors") {
                0 => return (calls, octets, thread_cpu_ns() - cpu_ns),
                count => {
                    calls += 1;
                    octets += count as u64;
                }
            }
        }
    });
    let sender = sender.and_then(|core| core.join()).map_err(|error| error.to_string())?;
    let receiver = receiver.and_then(|core| core.join()).map_err(|error| error.to_string())?;
    let seconds = began.elapsed().as_secs_f64();
    let ((sends, send_ns), (receives, octets, receive_ns)) = (sender, receiver);
    Ok(json!({
        "mib_per_s": octets as f64 / seconds / f64::from(1 << 20),
        "ns_per_send": send_ns as f64 / sends as f64,
        "ns_per_receive": receive_ns as f64 / receives as f64,
        "send_ns_per_octet": send_ns as f64 / octets as f64,
        "receive_ns_per_octet": receive_ns as f64 / octets as f64,
    }))
}
