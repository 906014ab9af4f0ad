"""What is measured: each cell's load, as flags of the generator, and the figures it yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


# Of what is delivered: so much more may be published before a queue counts as growing.
PILED_UP_MAX = 0.05
# In octets: so much more memory may be needed at the peak.
GROWN_MAX = 256 * 2**20


@dataclass(frozen=True)
class Figure:
    """One figure of a cell, taken from the generator's outcome."""

    label: str
    # rate, us or bytes: how it is written.
    unit: str
    take: Callable[[dict], float | None]
    # Whether a busy generator holds it down.
    is_capacity: bool = False
    # Whether a late generator spoils it.
    is_latency: bool = False
    # Per second, where the load is a rate that the broker may fall behind.
    offered: int | None = None


@dataclass(frozen=True)
class Cell:
    """One load."""

    id: str
    label: str
    flags: tuple[str, ...]
    figures: tuple[Figure, ...]
    # messages, operations or once: how long it lasts.
    lasts: str = "messages"
    # Memory is told from a process that has done nothing before.
    is_fresh: bool = False
    # Relays that can bear it.
    relays: tuple[str, ...] = ()
    # Flags of a second generator that runs beside the measured one.
    beside: tuple[str, ...] = ()

    def command(self, broker, scale, client_cpu, generator):
        """The generator's command line for this cell on this broker."""
        words = start_of(broker, client_cpu, generator)
        words += [*self.flags, *broker.run_flags]
        if self.lasts == "messages":
            seconds = scale.warmup + scale.seconds
            words += ["--time", f"{seconds:g}", "--warmup", f"{scale.warmup:g}"]
            words += ["--shutdown-timeout", f"{scale.drain_seconds:g}"]
        elif self.lasts == "operations":
            words += ["--time", f"{scale.seconds:g}"]
        words += ["--cores", f"{client_cpu}-{client_cpu}"]
        if broker.pid is not None:
            words += ["--broker-pid", str(broker.pid)]
        return words + ["-o", "json"]

    def command_beside(self, broker, scale, client_cpu, generator):
        """The command line of the second generator, which is ended with the first; or None."""
        if not self.beside:
            return None
        longest = f"{scale.warmup + scale.seconds + scale.drain_seconds:g}"
        return start_of(broker, client_cpu, generator) + [*self.beside, "--time", longest]


def start_of(broker, client_cpu, generator):
    """The generator, pinned, for this broker."""
    return ["taskset", "-c", str(client_cpu), str(generator), "run", "-h", broker.uri]


@dataclass(frozen=True)
class Scale:
    """How much of it."""

    rounds: int
    seconds: float
    warmup: float
    # Of t6: connections, and messages per second and connection.
    fan_in: tuple[int, int]
    busy_connections: int
    # Of m1.
    idle_connections: int
    idle_queues: int
    queued: int
    # No run begins later than this.
    minutes: float
    # After publishing, for what is still on its way.
    drain_seconds: float = 20.0


QUICK = Scale(3, 2.0, 1.0, (200, 25), 1000, 500, 1000, 50_000, 9.0)
FULL = Scale(5, 10.0, 2.0, (1000, 10), 1000, 1000, 5000, 200_000, 24 * 60.0)


def at(*path):
    """Takes the value at this path, None if a part of it is missing."""

    def take(outcome):
        for name in path:
            if not isinstance(outcome, dict):
                return None
            outcome = outcome.get(name)
        return outcome

    return take


def cpu_per_message(outcome):
    """User and system, in µs; None if nothing arrived."""
    process = outcome.get("broker_process")
    if process is None or not outcome["rates"]["received"]:
        return None
    return process["user_us_per_message"] + process["system_us_per_message"]


def has_grown(outcome):
    """Whether a queue grew so that its upkeep is in the figures: more was published than was
    delivered, or the broker's memory grew much."""
    if "rates" not in outcome:
        return False
    totals, rates, process = outcome["totals"], outcome["rates"], outcome.get("broker_process")
    if not totals["received"]:
        return False
    # In the end everything arrives, at each queue that it is for.
    copies = totals["received"] / max(totals["sent"], 1)
    piled_up = rates["sent"] * copies - rates["received"]
    grown = process["rss_peak"] - process["rss_before"] if process else 0
    return piled_up > rates["received"] * PILED_UP_MAX or grown > GROWN_MAX


def bytes_per_queued(outcome):
    """What the broker's memory grew by, per message; None if it did not grow."""
    process, queued = outcome.get("broker_process"), outcome["totals"]["confirmed"]
    if process is None or queued == 0 or process["rss_peak"] <= process["rss_before"]:
        return None
    return (process["rss_peak"] - process["rss_before"]) / queued


RECEIVED = at("rates", "received")
CPU = Figure("broker CPU per message", "us", cpu_per_message)
FLAT_OUT = (Figure("messages/s", "rate", RECEIVED, is_capacity=True), CPU)
FAN_OUT = (
    Figure("deliveries/s", "rate", RECEIVED, is_capacity=True),
    Figure("broker CPU per delivery", "us", cpu_per_message),
)
OPERATIONS = (
    Figure("pairs/s", "rate", at("operations_per_second"), is_capacity=True),
    Figure("broker CPU per pair", "us", at("broker_us_per_operation")),
)


def quantiles(kind, label):
    """The median and the 99th percentile."""
    return (
        Figure(f"{label} p50", "us", at("latency", kind, "p50"), is_latency=True),
        Figure(f"{label} p99", "us", at("latency", kind, "p99"), is_latency=True),
    )


def transient(size, label):
    """Flat out without acknowledgements."""
    flags = ("--scenario", "throughput", "--size", str(size))
    load = f"{label}, 1 producer, 1 consumer, auto-ack"
    return Cell("t1", load, flags, FLAT_OUT, relays=("bytes", "frames"))


def one_by_one(per_second):
    """What single messages cost, far from the limit of all of them."""
    flags = ("--scenario", "throughput", "--rate", str(per_second))
    load = f"16 B at {per_second:,}/s, 1 producer, 1 consumer, auto-ack"
    return Cell("t1", load, flags, (held_rate(per_second), CPU), relays=("frames",))


def work_queue(every):
    """Acks and confirms."""
    flags = ("--scenario", "work-queue", "--multi-ack-every", str(every))
    acks = "an ack each" if every == 1 else f"an ack for {every}"
    load = f"24 B, 1,000 unconfirmed, prefetch 1,000, {acks}"
    return Cell("t2", load, flags, FLAT_OUT, relays=("confirms",))


def fan_out():
    """One publish, ten deliveries. Confirms keep the queues from growing without end."""
    flags = ("--scenario", "fan-out", "--confirm", "1000")
    load = "16 B, fanout to 10 queues with a consumer each, 1,000 unconfirmed, auto-ack"
    return Cell("t5", load, flags, FAN_OUT)


def topic():
    """One binding of many matches."""
    flags = ["--type", "topic", "--producers", "1", "--consumers", "1", "--autoack"]
    flags += ["--routing-key", "stock.%d.usd", "--key-count", "100", "--bind", "stock.*.usd"]
    flags += ["--cold-bindings", "1000", "--size", "24", "--confirm", "1000"]
    load = "24 B, topic: 100 routing keys, 1,000 further bindings, 1,000 unconfirmed, auto-ack"
    return Cell("t5", load, tuple(flags), FLAT_OUT)


def held_rate(per_second):
    """What arrives of a rate that is offered."""
    return Figure(f"messages/s of {per_second:,} offered", "rate", RECEIVED, offered=per_second)


def fan_in(connections, per_second):
    """Many connections, each of which sends little: a read and a tick for nearly each message."""
    flags = ("--scenario", "fan-in", "--producers", str(connections), "--rate", str(per_second))
    load = f"24 B, {connections:,} connections with {per_second} messages/s each to 1 queue"
    figures = (held_rate(connections * per_second), *quantiles("consume", "end to end"), CPU)
    return Cell("t6", load, flags, figures)


def small_batches(connections):
    """Many connections, each of which sends on when a few of its messages are confirmed."""
    flags = ("--producers", str(connections), "--consumers", "1", "--queue", "small-batches")
    flags += ("--autoack", "--size", "24", "--confirm", "10")
    load = f"24 B, {connections:,} connections with 10 unconfirmed each to 1 queue, auto-ack"
    return Cell("t6", load, flags, FLAT_OUT)


def latency_at_rate():
    """Far from the limit of all of them."""
    rate, load = 10_000, "24 B at 10,000/s (Poisson), acks and confirms"
    ends = (*quantiles("consume", "end to end"), *quantiles("confirm", "confirm"))
    flags = ("--scenario", "latency-at-rate", "--rate", str(rate))
    return Cell("l1", load, flags, (held_rate(rate), *ends, CPU), relays=("confirms",))


def requests(clients):
    """Requests and replies."""
    flags = ("--scenario", "rpc", "--producers", str(clients))
    who = "1 client" if clients == 1 else f"{clients} clients"
    figures = (
        Figure("round trips/s", "rate", RECEIVED, is_capacity=True),
        *quantiles("consume", "round trip"),
        Figure("broker CPU per round trip", "us", cpu_per_message),
    )
    load = f"24 B, RPC, private reply queues, {who} with one request at a time"
    return Cell("l2", load, flags, figures)


def beside_bindings():
    """Whether work on bindings holds messages up."""
    flags = ("--rate", "1000", "--autoack", "--size", "24")
    beside = ("--churn", "binding", "--churn-batch", "100")
    longest = Figure("end to end max", "us", at("latency", "consume", "max"), is_latency=True)
    figures = (held_rate(1000), *quantiles("consume", "end to end"), longest)
    load = "24 B at 1,000/s, auto-ack, while bindings are made and unmade beside, 100 at a time"
    return Cell("c2", load, flags, figures, beside=beside)


def churn(what, label, *flags):
    """Making and unmaking."""
    return Cell("c1", label, ("--scenario", f"{what}-churn", *flags), OPERATIONS, "operations")


def idle(what, label, count):
    """Memory of things that do nothing."""
    flags = ("--producers", str(count), "--churn", f"idle-{what}")
    figure = Figure(f"memory per {what[:-1]}", "bytes", at("rss_per_thing"))
    return Cell("m1", f"{count:,} idle {label}", flags, (figure,), "once", is_fresh=True)


def backlog(count):
    """Memory of messages that wait."""
    # The queue outlives the run: it must not take what later runs publish, and has to go by itself.
    apart = ("--exchange", "queued", "--queue", "side-by-side-backlog")
    flags = ("--scenario", "backlog-fill", "--pmessages", str(count), *apart)
    flags += ("--queue-args", "x-expires=60000")
    figure = Figure("memory per message", "bytes", bytes_per_queued)
    return Cell("m1", f"{count:,} queued of 24 B", flags, (figure,), "once", is_fresh=True)


def cells(scale):
    """All cells, in the order of the table."""
    return [
        transient(16, "16 B"),
        transient(1024, "1 KiB"),
        transient(65536, "64 KiB"),
        one_by_one(20_000),
        one_by_one(50_000),
        work_queue(100),
        work_queue(1),
        fan_out(),
        topic(),
        fan_in(*scale.fan_in),
        small_batches(scale.busy_connections),
        latency_at_rate(),
        requests(1),
        requests(64),
        churn("connection", "connections opened and closed, 4 at a time"),
        churn("channel", "channels opened and closed, 4 connections"),
        churn("queue", "queues declared and deleted, 4 connections"),
        churn("binding", "bindings made and unmade, 256 at a time", "--churn-batch", "256"),
        beside_bindings(),
        idle("connections", "connections with a channel", scale.idle_connections),
        idle("queues", "queues", scale.idle_queues),
        backlog(scale.queued),
    ]
