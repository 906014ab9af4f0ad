"""Runs the checks of one suite and prints one line for each.

A line is `PASS <suite> <check>` or `FAIL <suite> <check>: <why>`; `run` counts them.
"""

import asyncio
import inspect
import os
import pathlib
import secrets
import signal
import sys
import traceback

CHECK_SECONDS_MAX = 30
URI = os.environ.get("AMQP_URI", "amqp://guest:guest@127.0.0.1:5672/%2F")
TOPIC_CASES = pathlib.Path(__file__).resolve().parent.parent / "topic_cases.tsv"


class Suite:
    """The checks of one client library, in the order in which they are written."""

    def __init__(self, name):
        self.name = name
        self.checks = []

    def check(self, function):
        """Decorator: makes a function, plain or async, a check named after the function."""
        self.checks.append(function)
        return function

    def run(self):
        """Runs all checks and ends the process, with status 0 only if all passed."""
        signal.signal(signal.SIGALRM, _raise_deadline)
        results = [self._passes(check) for check in self.checks]
        sys.exit(0 if results and all(results) else 1)

    def _passes(self, check):
        signal.alarm(CHECK_SECONDS_MAX)
        try:
            outcome = check()
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)
        except Exception as error:  # pylint: disable=broad-except
            # Whatever went wrong, the other checks are still worth their lines.
            why = " ".join(repr(error).split())
            print(f"FAIL {self.name} {check.__name__}: {why} {_place(error)}", flush=True)
            return False
        finally:
            signal.alarm(0)
        print(f"PASS {self.name} {check.__name__}", flush=True)
        return True


def _raise_deadline(_signal, _frame):
    raise TimeoutError(f"not done after {CHECK_SECONDS_MAX} s")


def _place(error):
    """The line of the check (not of the library) in which the error surfaced."""
    here = pathlib.Path(__file__).resolve()
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if here.parent in pathlib.Path(frame.filename).resolve().parents
        and frame.filename != __file__
    ]
    return f"({pathlib.Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def unique(stem):
    """A name that no earlier run has used."""
    return f"clients.{stem}.{secrets.token_hex(6)}"


def topic_cases():
    """The pairs of topic_cases.tsv: {pattern: {routing key: whether it matches}}."""
    cases = {}
    for line in TOPIC_CASES.read_text(encoding="utf-8").splitlines():
        pattern, key, verdict = line.split("\t")
        cases.setdefault(pattern, {})[key] = verdict == "match"
    return cases
