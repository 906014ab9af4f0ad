"""Processes that are started here, and are the only ones that are ended here."""

import ctypes
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 30.0
LIBC = ctypes.CDLL(None, use_errno=True)


def end_with_parent():
    """In the child: asks the kernel for a SIGTERM when this program dies, even if killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Started:
    """A process with a session of its own, so that no Ctrl-C of the terminal reaches it."""

    def __init__(self, command, log, env=None, cwd=None):
        self.command = [str(word) for word in command]
        # No threads here, so the child may run what it likes before it becomes the command.
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        self.pid = self.process.pid

    def has_ended(self):
        """Whether it is gone."""
        return self.process.poll() is not None

    def stop(self):
        """Asks it to end; when it does not, ends it and its own group."""
        if self.has_ended():
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


def run_bounded(command, timeout):
    """Runs to the end and returns (exit code, stdout, stderr); ends it when it takes too long."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            return None, out, f"ended after {timeout:.0f} s"
        except BaseException:
            process.kill()
            raise
        return process.returncode, out, err


def shown(words):
    """A command line for readers: without passwords, and programs without their folders."""
    texts = []
    for word in map(str, words):
        scheme, mark, rest = word.partition("://")
        if mark:
            texts.append(f"{scheme}{mark}{rest.rpartition('@')[2]}")
        else:
            is_program = word.startswith("/") and os.path.isfile(word) and os.access(word, os.X_OK)
            texts.append(os.path.basename(word) if is_program else word)
    return shlex.join(texts)


def children_of(pid):
    """Processes whose parent this is, with their names."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            head, _, tail = (entry / "stat").read_text(errors="replace").rpartition(")")
        except OSError:
            continue
        if int(tail.split()[1]) == pid:
            found[int(entry.name)] = head.partition("(")[2]
    return found


def free_ports(count):
    """Ports of this machine that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def speaks_amqp(port):
    """Whether a broker answers the protocol header with a method frame."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def wait_until(condition, started, seconds, log):
    """Waits for a started process to become ready.

    Raises RuntimeError with the end of its log if it ends or takes too long.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if started.has_ended() or time.monotonic() > deadline:
            tail = Path(log).read_text(errors="replace")[-2000:]
            why = "ended" if started.has_ended() else f"is not ready after {seconds:.0f} s"
            raise RuntimeError(f"{shown(started.command)} {why}:\n{tail}")
        time.sleep(0.1)
