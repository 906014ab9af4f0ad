"""What all experiments share: the machine and what else went on there, the programs under test,
runs of the generator, and the JSON object that each experiment prints.

An experiment is a script with a call of `run(name, question, measure)`; `measure(lab)` returns
figures and the answer that they give.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Shares of the machine's time from which a figure is marked.
STEAL_MAX, FOREIGN_MAX = 0.01, 0.05
START_SECONDS = 10
# Letters that are shown of what a failed program said.
TOLD = 2000


def run(name, question, measure):
    """Runs an experiment and prints it."""
    lab = Lab(arguments(question))
    before, began = Times.now(), time.time()
    with tempfile.TemporaryDirectory(prefix="haremq-experiment-") as scratch:
        lab.scratch = Path(scratch)
        figures, answer = measure(lab)
    machine = machine_facts(lab)
    machine.update(before.until(Times.now()))
    machine["seconds"] = round(time.time() - began, 1)
    result = {"experiment": name, "question": question, "machine": machine,
              "figures": rounded(figures), "answer": answer}
    print(json.dumps(result, indent=2))


def arguments(question):
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--quick", action="store_true", help="short runs, to see whether it works")
    parser.add_argument("--perf", type=Path, help="the generator [default: built]")
    parser.add_argument("--micro", type=Path, help="haremq-experiments [default: built]")
    parser.add_argument("--broker", type=Path, help="the broker [default: built]")
    return parser.parse_args()


class Lab:
    """The two CPUs, the programs, and how long to measure."""

    def __init__(self, options):
        self.options = options
        self.scratch = None
        cpus = sorted(os.sched_getaffinity(0))
        self.broker_cpu, self.client_cpu = cpus[0], cpus[-1]

    def chosen(self, long, quick):
        """Seconds or counts: `long`, or `quick` for a run that only shows that all works."""
        return quick if self.options.quick else long

    def perf(self):
        return self.options.perf or built("haremq-perf", "haremq-perf")

    def broker(self):
        return self.options.broker or built("haremq", "haremq")

    def micro(self, *flags):
        """Figures of `haremq-experiments`."""
        program = self.options.micro or built("haremq-perf", "haremq-experiments")
        cpus = ["--cpu", self.broker_cpu, "--other-cpu", self.client_cpu]
        return json.loads(output([program, *flags, *cpus]))

    @contextlib.contextmanager
    def relay(self, *flags):
        """A relay on the broker's CPU, as `Served`."""
        command = [self.perf(), "relay", "--listen", "127.0.0.1:0", "--cpu", self.broker_cpu]
        with serve([*command, *flags], r"listens on (\S+)") as served:
            yield served

    @contextlib.contextmanager
    def haremq(self, *flags):
        """A broker on its CPU, as `Served`."""
        folder = tempfile.mkdtemp(dir=self.scratch)
        command = [self.broker(), "server", "--listen", "127.0.0.1:0", "--data-dir", folder,
                   "--cores", f"{self.broker_cpu}-{self.broker_cpu}"]
        with serve([*command, *flags], r"listening\s+amqp://(\S+)") as served:
            yield served

    def load(self, served, *flags):
        """What `haremq-perf run` tells of a run on the client's CPU."""
        command = [self.perf(), "run", "-h", served.uri, "--broker-pid", served.pid,
                   "--cores", f"{self.client_cpu}-{self.client_cpu}",
                   "--format", "quiet", "-o", "json", *flags]
        # Where messages were lost or reordered it fails, and no figure is worth anything.
        return json.loads(output(command))

    def bench(self, name):
        """Nanoseconds of a criterion bench, by its full name."""
        home = self.scratch / "criterion"
        seconds, warm_up = self.chosen(1, 0.1), self.chosen(0.5, 0.1)
        command = ["cargo", "bench", "-q", "-p", "haremq", "--bench", name, "--", "--quiet",
                   "--sample-size", 10, "--measurement-time", seconds, "--warm-up-time", warm_up]
        output(command, CRITERION_HOME=str(home))
        figures = {}
        for estimates in sorted(home.glob("**/new/estimates.json")):
            told = json.loads(estimates.with_name("benchmark.json").read_text())
            median = json.loads(estimates.read_text())["median"]
            bounds = median["confidence_interval"]
            elements = (told["throughput"] or {}).get("Elements", 1)
            figures[told["full_id"]] = {
                "median": median["point_estimate"] / elements,
                "min": bounds["lower_bound"] / elements,
                "max": bounds["upper_bound"] / elements,
            }
        return figures


class Served:
    """A relay or a broker that listens."""

    def __init__(self, pid, address):
        self.pid = pid
        self.host, port = address.rstrip("/").rsplit(":", 1)
        self.port = int(port)
        self.uri = f"amqp://{self.host}:{self.port}"

    def rss(self):
        """Octets of memory, once they have settled."""
        last, end = -1, time.time() + 5
        while time.time() < end:
            now = resident(self.pid)
            if now == last:
                break
            last = now
            time.sleep(0.25)
        return last


def resident(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


@contextlib.contextmanager
def serve(command, pattern):
    """Starts a program that tells where it listens, and ends it."""
    command = [str(part) for part in command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(START_SECONDS)
        for line in process.stdout:
            if found := re.search(pattern, line):
                break
        else:
            sys.exit(f"{command[0]} did not start")
        signal.alarm(0)
        yield Served(process.pid, found[1])
    finally:
        signal.alarm(0)
        process.kill()
        process.communicate()


def output(command, **environment):
    """What a program prints; the experiment ends if it fails."""
    command = [str(part) for part in command]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode != 0:
        told = f"{done.stdout[-TOLD:]}{done.stderr[-TOLD:]}"
        sys.exit(f"{' '.join(command)}: ended with {done.returncode}\n{told}")
    return done.stdout


def built(package, binary):
    """A program of this tree; cargo builds it if it must."""
    output(["cargo", "build", "-q", "--release", "--locked", "-p", package, "--bin", binary])
    return target_folder() / "release" / binary


def target_folder():
    """Where cargo builds: not tracked, and on a medium that data could be on."""
    folder = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# The machine.

class Times:
    """CPU seconds of the machine and of what we have started and awaited."""

    @staticmethod
    def now():
        times = Times()
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        user, nice, system, idle, iowait, irq, softirq, steal = fields[:8]
        tick = os.sysconf("SC_CLK_TCK")
        times.busy = (user + nice + system + irq + softirq) / tick
        times.steal = steal / tick
        times.all = times.busy + times.steal + (idle + iowait) / tick
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        times.ours = sum(one.ru_utime + one.ru_stime for one in used)
        return times

    def until(self, later):
        """Shares of the machine's time that others had; too much of it disturbs."""
        whole = max(later.all - self.all, 0.01)
        steal = (later.steal - self.steal) / whole
        foreign = max(later.busy - self.busy - (later.ours - self.ours), 0) / whole
        disturbed = steal > STEAL_MAX or foreign > FOREIGN_MAX
        return {"steal_share": round(steal, 3), "foreign_share": round(foreign, 3),
                "is_disturbed": disturbed}


def machine_facts(lab):
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    folder = Path("/sys/devices/system/cpu/vulnerabilities")
    mitigations = {path.name: path.read_text().strip() for path in sorted(folder.glob("*"))
                   if "Mitigation" in path.read_text()}
    revision = None
    if shutil.which("git"):
        asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        revision = asked.stdout.strip() or None
    return {"kernel": platform.release(), "cpu": cpu[1] if cpu else platform.machine(),
            "cpus": len(os.sched_getaffinity(0)),
            "pinned": {"broker": lab.broker_cpu, "client": lab.client_cpu},
            "mitigations": mitigations, "revision": revision, "is_quick": lab.options.quick,
            "load_average": os.getloadavg()[0]}


# Figures.

def spread(values):
    """What is told of repeats."""
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def us_per_message(outcome):
    """CPU of the relay or broker per delivered message."""
    process = outcome["broker_process"] or {}
    return sum(process.get(part, 0) for part in ("user_us_per_message", "system_us_per_message"))


def rounded(value):
    """Four digits are more than any of this has."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
