"""Celery: a worker with its defaults (mingle, gossip, events on) does 1,000 tasks and more.

Mingle and gossip use fanout and topic exchanges and auto-delete queues with x-expires and
x-message-ttl; ETA tasks raise the prefetch of a running consumer; results come by the rpc backend.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from checks import URI, Suite, unique

# Both before the application is imported, here and in the worker.
os.environ["AMQP_URI"] = URI
os.environ["CLIENTS_CELERY_QUEUE"] = unique("celery")

from celery_tasks import app, fail, square, succeed_at_third  # noqa: E402

SUITE = Suite("celery")
check = SUITE.check

PLAIN_COUNT = 900
ETA_COUNT = 100
ETA_SECONDS = 2
READY_SECONDS_MAX = 20


class Worker:
    """A worker process, and what it logs."""

    def __init__(self, name):
        self.name = f"{name}@clients"
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", "celery_tasks", "worker", "--pool", "threads",
             "--concurrency", "4", "--hostname", self.name, "--loglevel", "INFO", "--events"],
            cwd=pathlib.Path(__file__).parent, stdout=self.log, stderr=subprocess.STDOUT,
        )

    def until_ready(self):
        """Waits until the worker says that it consumes."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while " ready." not in self.said():
            assert self.process.poll() is None, f"the worker ended: {self.said()[-500:]}"
            assert time.monotonic() < deadline, f"the worker is not ready: {self.said()[-500:]}"
            # The log is the only sign; the process is asked for its end meanwhile.
            with_timeout(self.process, 0.05)

    def said(self):
        """All that the worker logged."""
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")

    def stop(self):
        """Ends it warmly, then for sure; gives its status."""
        self.process.terminate()
        if with_timeout(self.process, 15) is None:
            self.process.kill()
            self.process.wait()
        return self.process.returncode


def with_timeout(process, seconds):
    """The status of the process, or None if it goes on longer."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


WORKERS = []


@check
def worker_becomes_ready():
    WORKERS.append(Worker("first"))
    WORKERS[0].until_ready()


@check
def thousand_tasks_with_etas_all_have_their_results():
    start = time.monotonic()
    early = [square.apply_async((n,), countdown=ETA_SECONDS) for n in range(ETA_COUNT)]
    plain = [square.delay(n) for n in range(PLAIN_COUNT)]
    # The ETA tasks, ahead of them in the queue and unacked, must not hold these up.
    assert [result.get(timeout=25) for result in plain] == [n * n for n in range(PLAIN_COUNT)]
    assert [result.get(timeout=25) for result in early] == [n * n for n in range(ETA_COUNT)]
    assert time.monotonic() - start >= ETA_SECONDS, "an ETA task came early"


@check
def retries_and_failures_come_back():
    assert succeed_at_third.delay(7).get(timeout=20) == 7
    failed = fail.delay(8)
    assert isinstance(failed.get(timeout=20, propagate=False), ValueError)
    assert failed.state == "FAILURE"


@check
def second_worker_mingles_and_shares_the_work():
    WORKERS.append(Worker("second"))
    WORKERS[1].until_ready()
    assert "mingle: sync with 1 nodes" in WORKERS[1].said()
    results = [square.delay(n) for n in range(200)]
    assert [result.get(timeout=20) for result in results] == [n * n for n in range(200)]
    for worker in WORKERS:
        assert "succeeded" in worker.said(), f"{worker.name} did nothing"


@check
def workers_answer_a_ping():
    answers = app.control.ping(timeout=5, limit=len(WORKERS))
    assert sorted(name for answer in answers for name in answer) == sorted(
        worker.name for worker in WORKERS
    ), answers


@check
def task_events_reach_a_listener():
    seen = set()
    done = threading.Event()

    def note(event):
        seen.add(event["type"])
        if {"task-sent", "task-received", "task-succeeded"} <= seen:
            receiver.should_stop = True
            done.set()

    with app.connection() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        with receiver.consumer_context() as (listening, _channel, _consumers):
            assert square.delay(3).get(timeout=20) == 9
            deadline = time.monotonic() + 10
            while not done.is_set():
                assert time.monotonic() < deadline, seen
                listening.drain_events(timeout=10)


@check
def workers_stop_warmly_and_leave_nothing_behind():
    statuses = [worker.stop() for worker in WORKERS]
    assert statuses == [0] * len(WORKERS), statuses
    with app.connection() as connection, connection.channel() as channel:
        # What was acked late is gone; what was unacked would be back.
        assert channel.queue_delete(app.conf.task_default_queue) == 0


def main():
    """Runs the suite; whatever happens, no worker outlives it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        SUITE.run()
    finally:
        for worker in WORKERS:
            if worker.process.poll() is None:
                worker.process.kill()


if __name__ == "__main__":
    main()
