"""The brokers that take turns: how each is installed, started, pinned and ended."""

import glob
import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from .machine import resident_bytes
from .processes import (
    Started,
    children_of,
    free_ports,
    run_bounded,
    shown,
    speaks_amqp,
    wait_until,
)

START_SECONDS = 120.0
# What a run may leave behind before the next one would measure its traces, too.
LEFT_BEHIND_MAX = 256 * 2**20


class Broker:
    """What takes part: a name for the table, where it listens, what it runs as."""

    # Whether it can be put back to where it began.
    can_restart = True
    # Flags that the generator needs for it.
    run_flags = ()
    # What differs from how it is shipped, for the reader.
    settings = ""

    def __init__(self, name):
        self.name = name
        self.uri = None
        self.pid = None
        self.command = None
        self.pinned = None

    def binary_version(self):
        """What the program says of itself, where it tells clients something else."""
        return None

    def is_bloated(self):
        """Whether earlier runs have left much behind in its memory."""
        return False

    def start(self):
        """Starts it, if that is ours to do."""

    def stop(self):
        """Ends what was started."""

    def restart(self):
        """A fresh process with fresh folders."""
        self.stop()
        self.start()

    def pause(self):
        """Keeps it from running while another one is measured, if it is ours."""

    def resume(self):
        """Lets it run again."""


class Local(Broker):
    """A broker that is started here, on a free port, pinned to one CPU."""

    def __init__(self, name, cpu, folder):
        super().__init__(name)
        self.cpu = cpu
        self.pinned = str(cpu)
        self.folder = Path(folder)
        self.log = self.folder / "output.log"
        self.started = None
        self.bytes_at_start = 0

    def is_bloated(self):
        return resident_bytes(self.pid) > self.bytes_at_start + LEFT_BEHIND_MAX

    def launch(self, command, port, **options):
        """Starts the command and waits until it speaks AMQP."""
        self.uri = f"amqp://guest:guest@127.0.0.1:{port}"
        self.started = Started(["taskset", "-c", str(self.cpu), *command], self.log, **options)
        self.command = shown(self.started.command)
        wait_until(lambda: speaks_amqp(port), self.started, START_SECONDS, self.log)
        self.pid = self.find_pid()
        self.bytes_at_start = resident_bytes(self.pid)

    def find_pid(self):
        """The broker's own process, where what was started is not it."""
        return self.started.pid

    def clear(self):
        """An empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def pause(self):
        self.send_signal(signal.SIGSTOP)

    def resume(self):
        self.send_signal(signal.SIGCONT)

    def send_signal(self, number):
        """To the broker's own process, while it runs."""
        if self.started is not None and not self.started.has_ended():
            os.kill(self.pid, number)

    def stop(self):
        if self.started is not None:
            # A paused one would not hear that it shall end.
            self.resume()
            self.started.stop()
            self.started = None
            self.pid = None


class HareMq(Local):
    """HareMQ with one shard."""

    settings = ", one shard"

    def __init__(self, binary, cpu, folder):
        super().__init__("HareMQ", cpu, folder)
        self.binary = binary

    def binary_version(self):
        code, out, _ = run_bounded([str(self.binary), "--version"], 10.0)
        return out.strip() if code == 0 else None

    def start(self):
        self.clear()
        (port,) = free_ports(1)
        flags = ["--listen", f"127.0.0.1:{port}", "--cores", f"{self.cpu}-{self.cpu}"]
        self.launch([self.binary, *flags, "--data-dir", self.folder / "data"], port)


class RabbitMq(Local):
    """RabbitMQ as it is shipped, but for one scheduler, and ports and folders of its own."""

    settings = ", one scheduler (+S 1:1), else as shipped: no plugins, default statistics"

    def __init__(self, server, cpu, folder):
        super().__init__("RabbitMQ", cpu, folder)
        self.server = server
        self.epmd = None

    def start(self):
        self.clear()
        port, dist_port, epmd_port = free_ports(3)
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq-env.conf").write_text("")
        env = self.environment(dist_port, epmd_port)
        # RabbitMQ would start one that outlives it.
        epmd = ["taskset", "-c", str(self.cpu), "epmd", "-port", str(epmd_port)]
        self.epmd = Started(epmd, self.folder / "epmd.log", env=env)
        self.launch([self.server], port, env=env, cwd=self.folder)

    def environment(self, dist_port, epmd_port):
        """Settings that RabbitMQ's scripts take from the environment."""
        kept = {name: value for name, value in os.environ.items() if "RABBITMQ" not in name}
        kept.pop("NOTIFY_SOCKET", None)
        folder = self.folder
        return kept | {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"side-by-side-{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def find_pid(self):
        # The Erlang machine; RabbitMQ's script waits for it as its parent.
        machines = [p for p, name in children_of(self.started.pid).items() if "beam" in name]
        return machines[0] if machines else self.started.pid

    def stop(self):
        super().stop()
        if self.epmd is not None:
            self.epmd.stop()
            self.epmd = None


class Remote(Broker):
    """A broker that somebody else started: neither pinned nor ended here."""

    can_restart = False

    def __init__(self, name, uri):
        super().__init__(name)
        self.uri = uri
        parts = urlsplit(uri)
        self.command = f"not started here: {parts.hostname}:{parts.port or 5672}"


class Relay(Local):
    """A stand-in of the generator's: the limit that a broker is held against."""

    NAMES = {"bytes": "R0", "frames": "R1", "confirms": "R2"}

    def __init__(self, generator, mode, cpu, folder):
        super().__init__(self.NAMES[mode], cpu, folder)
        self.generator = generator
        self.mode = mode
        self.run_flags = ("--raw",) if mode == "bytes" else ()

    def start(self):
        self.clear()
        (port,) = free_ports(1)
        listen = ["--listen", f"127.0.0.1:{port}", "--cpu", str(self.cpu)]
        command = [self.generator, "relay", "--mode", self.mode, *listen]
        self.uri = f"amqp://guest:guest@127.0.0.1:{port}"
        self.started = Started(["taskset", "-c", str(self.cpu), *command], self.log)
        self.command = shown(self.started.command)
        self.pid = self.started.pid
        # R0 answers nothing by itself; a connection, even one to test it, would be a party.
        wait_until(lambda: "listens" in self.log.read_text(), self.started, 10.0, self.log)


def find_rabbitmq(given, may_install):
    """RabbitMQ's own start script (not the wrapper that changes the user).

    Raises RuntimeError if it is missing and cannot be installed.
    """
    found = installed_rabbitmq(given)
    if found is None and given is None and may_install:
        install_rabbitmq()
        found = installed_rabbitmq(None)
    if found is None:
        raise RuntimeError(
            f"{given}: no such program"
            if given
            else "RabbitMQ is missing: run `apt-get install rabbitmq-server` as root, or name an "
            "unpacked one with --rabbitmq FOLDER/sbin/rabbitmq-server, or leave it out with "
            "--without-rabbitmq"
        )
    if shutil.which("epmd") is None:
        raise RuntimeError("epmd, which comes with Erlang, is not in PATH")
    return found


def installed_rabbitmq(given):
    """The start script, if it is there."""
    if given is not None:
        # It is started in a folder of its own.
        return os.path.abspath(given) if os.access(given, os.X_OK) else None
    places = glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
    return max(places, default=None)


def install_rabbitmq():
    """Installs Debian's package, without letting it start a service.

    Raises RuntimeError if that does not work.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    # Debian's packages ask this script whether they may start what they install.
    policy = Path("/usr/sbin/policy-rc.d")
    is_ours = not policy.exists()
    if is_ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        env = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        install = ["install", "-y", "-q", "--no-install-recommends", "rabbitmq-server"]
        for words in (["update", "-q"], install):
            code, _, err = run_bounded(env + words, 900.0)
            if code != 0:
                raise RuntimeError(f"apt-get {' '.join(words)} failed:\n{err[-2000:]}")
    finally:
        if is_ours:
            policy.unlink()


def build(root, packages):
    """Builds release binaries of these packages."""
    command = ["cargo", "build", "--release", "--locked"]
    for package in packages:
        command += ["-p", package]
    subprocess.run(command, cwd=root, check=True)
