"""What /proc and /sys say about the machine, and who used it while something was measured."""

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Shares of the two CPUs from which on a run counts as disturbed.
STEAL_SHARE_MAX = 0.02
FOREIGN_SHARE_MAX = 0.05


def read(path):
    """The file's text, or nothing if it cannot be read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def process_seconds(pid):
    """CPU seconds that a process has used; None if it is gone."""
    if pid is None:
        return None
    # The name, in parentheses, may contain anything.
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 13:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(pid):
    """A process's resident memory; 0 if it is gone."""
    fields = value_of(read(f"/proc/{pid}/status"), "VmRSS").split()
    return int(fields[0]) * 1024 if fields else 0


def own_seconds():
    """CPU seconds of this program and of the generators that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def cpu_seconds(cpus):
    """Seconds that these CPUs have spent, by kind."""
    names = {f"cpu{cpu}" for cpu in cpus}
    sums = {"work": 0.0, "softirq": 0.0, "steal": 0.0, "total": 0.0}
    for line in read("/proc/stat").splitlines():
        name, *fields = line.split()
        if name not in names:
            continue
        user, nice, system, _, _, irq, softirq, steal = (int(f) for f in fields[:8])
        sums["work"] += (user + nice + system) / TICKS_PER_SECOND
        sums["softirq"] += (irq + softirq) / TICKS_PER_SECOND
        sums["steal"] += steal / TICKS_PER_SECOND
        sums["total"] += sum(int(f) for f in fields[:8]) / TICKS_PER_SECOND
    return sums


@dataclass
class Moment:
    """Who had used how much at one moment."""

    clock: float
    cpus: dict
    own: float
    brokers: dict


class Watch:
    """Watches the two CPUs during one run.

    Work of others is what the CPUs did in programs, less what this program, the generator and
    the brokers did. Interrupts are left out of it: most of them are the run's own packets.
    """

    def __init__(self, cpus, pids):
        self.cpus = cpus
        self.pids = pids
        self.before = self.now()

    def now(self):
        """The present moment."""
        brokers = {name: process_seconds(pid) for name, pid in self.pids.items()}
        return Moment(time.monotonic(), cpu_seconds(self.cpus), own_seconds(), brokers)

    def end(self, measured):
        """What went on since the beginning, while the broker of this name was measured."""
        after, before = self.now(), self.before
        spent = {kind: after.cpus[kind] - before.cpus[kind] for kind in after.cpus}
        total = max(spent["total"], 1e-9)
        used = {
            name: after.brokers[name] - seconds
            for name, seconds in before.brokers.items()
            if seconds is not None and after.brokers[name] is not None
        }
        ours = after.own - before.own + sum(used.values())
        record = {
            "seconds": after.clock - before.clock,
            "steal_share": max(spent["steal"], 0.0) / total,
            "foreign_share": max(spent["work"] - ours, 0.0) / total,
            "softirq_share": max(spent["softirq"], 0.0) / total,
            "idle_brokers_cpu_seconds": sum(s for name, s in used.items() if name != measured),
        }
        record["disturbed"] = disturbances(record)
        return record


def disturbances(record):
    """Why a run's figures may be off."""
    reasons = []
    if record["steal_share"] > STEAL_SHARE_MAX:
        reasons.append(f"the host took {record['steal_share']:.1%} of the two CPUs (steal)")
    if record["foreign_share"] > FOREIGN_SHARE_MAX:
        reasons.append(f"other programs took {record['foreign_share']:.1%} of the two CPUs")
    return reasons


def value_of(text, name):
    """The first `name : value` in a file of that form."""
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""


def facts(broker_cpu, client_cpu):
    """The machine, as a reader of the figures has to know it."""
    siblings = read(f"/sys/devices/system/cpu/cpu{broker_cpu}/topology/thread_siblings_list")
    memory_kib = value_of(read("/proc/meminfo"), "MemTotal").split()
    return {
        "kernel": platform.release(),
        "system": value_of(read("/etc/os-release").replace("=", ":"), "PRETTY_NAME").strip('"'),
        "cpu_model": value_of(read("/proc/cpuinfo"), "model name") or platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": int(memory_kib[0]) * 1024 if memory_kib else 0,
        "hypervisor": "hypervisor" in value_of(read("/proc/cpuinfo"), "flags").split(),
        "share_a_core": client_cpu in cpu_list(siblings),
        "load_average": os.getloadavg()[0],
    }


def cpu_list(text):
    """The CPUs of a list such as 0-3,8."""
    cpus = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus
