"""The record of a comparison as Markdown."""

import re
from pathlib import Path
from statistics import median

LIMIT = (
    "The limit: relays that do less than a broker, on the same core loop. R0 copies octets, R1 "
    "makes deliveries of publishes without a queue, R2 also confirms and keeps the books of acks."
)
BEGIN, END = "<!-- side-by-side -->", "<!-- /side-by-side -->"
RELAYS = ("R0", "R1", "R2")
OURS, THEIRS = "HareMQ", "RabbitMQ"
CLIENT_BOUND, LATE = "client-bound", "generator lag"
# A broker that delivers less than this share of what is offered has fallen behind.
HELD_SHARE = 0.95


def written(value, unit):
    """A figure with three digits and its unit."""
    if unit == "rate":
        return scaled(value, ((1e6, " M"), (1e3, " k"), (1, "")))
    if unit == "us":
        return scaled(value, ((1e6, " s"), (1e3, " ms"), (1, " µs")))
    return scaled(value, ((2**20, " MiB"), (2**10, " KiB"), (1, " B")))


def scaled(value, scales):
    """With the first scale that it reaches."""
    for scale, name in scales:
        if value >= scale or scale == 1:
            return digits(value / scale) + name
    raise AssertionError("the last scale is 1")


def digits(value):
    """Three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def summarized(runs, figure):
    """Median, least and most over the runs of one broker in a cell."""
    good = [run for run in runs if run["figures"].get(figure.label) is not None]
    values = [run["figures"][figure.label] for run in good]
    if not values:
        failed = [run for run in runs if run["error"]]
        return {"values": [], "error": failed[0]["error"] if failed else None}
    return {
        "values": values,
        "median": median(values),
        "min": min(values),
        "max": max(values),
        "disturbed": sum(bool(run["disturbed"]) for run in good),
        "client_bound": any(says(run, CLIENT_BOUND) for run in good),
        "late": figure.is_latency and any(says(run, LATE) for run in good),
        "fell_behind": figure.offered is not None and median(values) < figure.offered * HELD_SHARE,
        "has_grown": any(run["has_grown"] for run in good),
        "broken": any(run["broken"] for run in runs),
        "failed": sum(bool(run["error"]) for run in runs),
    }


def says(run, what):
    """Whether the generator calls the run void for this reason."""
    return any(reason.startswith(what) for reason in run["void"])


def ratio_of(first, second, is_capacity):
    """The quotient of two medians, and what is known of it: =, ≥, ≤ or ~ (nothing)."""
    if not first["values"] or not second["values"] or not second["median"]:
        return None
    sign = "="
    if is_capacity:
        bound = (first["client_bound"], second["client_bound"])
        sign = {(False, False): "=", (True, False): "≥", (False, True): "≤"}.get(bound, "~")
    return {"value": first["median"] / second["median"], "sign": sign}


def written_ratio(ratio):
    """`20.3×`, or `1/43` where it is below one."""
    if ratio is None:
        return "–"
    if ratio["sign"] == "~":
        return CLIENT_BOUND
    value = ratio["value"]
    if value <= 0:
        return "–"
    text = f"{digits(value)}×" if value >= 0.995 else f"1/{digits(1 / value)}"
    return text if ratio["sign"] == "=" else f"{ratio['sign']} {text}"


def written_summary(summary, unit):
    """Median, range and marks."""
    if summary is None:
        return "–"
    if not summary["values"]:
        return "failed" if summary["error"] else "–"
    marks = "\\*" if summary["disturbed"] else ""
    marks += "†" if summary["client_bound"] else ""
    marks += "‡" if summary["late"] else ""
    marks += "§" if summary["fell_behind"] else ""
    marks += "¶" if summary["has_grown"] else ""
    marks += " **broke a promise**" if summary["broken"] else ""
    low, high = written(summary["min"], unit), written(summary["max"], unit)
    middle = written(summary["median"], unit) + marks
    return middle if len(summary["values"]) == 1 else f"{middle} ({low} – {high})"


def rows(record, names):
    """(cell label, figure, summaries by name) of the cells that these brokers took part in."""
    for cell in record["cells"]:
        for figure in cell["figures"]:
            found = {name: figure["brokers"].get(name) for name in names}
            if any(found.values()):
                yield cell, figure, found


def line(*columns):
    """A row of a table."""
    return "| " + " | ".join(columns) + " |"


def main_table(record):
    """The brokers side by side."""
    names = [name for name in record["brokers"] if name not in RELAYS]
    has_ratio = OURS in names and THEIRS in names
    ratio_head = [f"{OURS} ÷ {THEIRS}"] if has_ratio else []
    lines = [line("Load", "Figure", *names, *ratio_head)]
    lines.append("|---|---|" + "--:|" * (len(names) + len(ratio_head)))
    last = None
    for cell, figure, found in rows(record, names):
        load = "" if cell is last else f"**{cell['id']}** {cell['label']}"
        last = cell
        columns = [written_summary(found[name], figure["unit"]) for name in names]
        if has_ratio:
            columns.append(written_ratio(figure["ratio"]))
        lines.append(line(load, figure["label"], *columns))
    return lines


def limit_table(record):
    """HareMQ against the relays."""
    names = [name for name in RELAYS if name in record["brokers"]]
    if not names:
        return []
    lines = ["", LIMIT, ""]
    lines.append(line("Load", "Figure", OURS, *names, *(f"{OURS} ÷ {name}" for name in names)))
    lines.append("|---|---|--:|" + "--:|" * (2 * len(names)))
    last = None
    for cell, figure, found in rows(record, names):
        load = "" if cell is last else f"**{cell['id']}** {cell['label']}"
        last = cell
        ours = figure["brokers"].get(OURS)
        columns = [written_summary(one, figure["unit"]) for one in (ours, *found.values())]
        for one in found.values():
            can_divide = ours and one and figure["offered"] is None
            ratio = ratio_of(ours, one, figure["is_capacity"]) if can_divide else None
            columns.append(written_ratio(ratio))
        lines.append(line(load, figure["label"], *columns))
    return lines


def notes(record):
    """Everything that must be known to read the table."""
    machine, scale, runs = record["machine"], record["scale"], all_runs(record)
    disturbed = [run for run in runs if run["disturbed"]]
    yield f"Medians over {scale['rounds']} rounds, least and most in parentheses; "
    yield f"{scale['seconds']:g} s each after {scale['warmup']:g} s of warm-up"
    yield " (quick: small, for a first look). " if record["quick"] else ". "
    yield "The brokers took turns within each round, in alternating order; the one that was not "
    yield "measured was stopped (SIGSTOP). Each was started anew for m1, and where earlier runs "
    yield "had left more than 256 MiB in its memory. "
    yield f"Broker on CPU {record['broker_cpu']}, client on CPU {record['client_cpu']}"
    yield " (two threads of one core)" if machine["share_a_core"] else ""
    yield f" of {machine['cpus']}: {machine['cpu_model']}"
    yield " (virtual machine)" if machine["hypervisor"] else ""
    yield f", Linux {machine['kernel']}, {machine['system']}, {record['started'][:10]}.\n\n"
    for name, broker in record["brokers"].items():
        if name not in RELAYS:
            yield f"- {name}: {described(broker)}\n"
    yield "\n"
    yield from mark_notes(runs, disturbed)
    if record["stopped_early"]:
        yield f"\n\nNot all rounds were run in all cells: {record['stopped_early']}."


def mark_notes(runs, disturbed):
    """What the signs mean, and what they are about."""
    yield f"\\* {len(disturbed)} of {len(runs)} runs were disturbed"
    if disturbed:
        worst = {kind: max(run[kind] for run in runs) for kind in ("steal_share", "foreign_share")}
        yield f" (at worst {worst['steal_share']:.0%} steal and {worst['foreign_share']:.0%} of "
        yield "other programs' work on the two CPUs)"
    yield "; they count all the same. "
    yield "† The generator's core was full while the broker had room: the broker can do more. "
    yield "‡ The generator was late itself, by more than a tenth of the p99. "
    yield "§ The broker fell behind the offered rate: its latencies are those of a growing queue. "
    yield "¶ A queue grew, as more was published than delivered: its upkeep is in the figures. "
    yield "A ratio below one is written 1/x. "
    yield "CPU is user and system time of the broker's process.\n\n"
    yield "A confirm means that the message is in memory: HareMQ has no log yet, and RabbitMQ "
    yield "confirms transient messages, as these are, when the queue has them. For persistent "
    yield "messages RabbitMQ confirms after writing to disk, which HareMQ cannot do, so that is "
    yield "not compared."


def described(broker):
    """Version, and how it was run."""
    names = (broker["product"], broker["version"], broker["platform"])
    told = " ".join(filter(None, names)) or "tells no version"
    binary = f"{broker['binary']} (tells clients: {told})" if broker["binary"] else told
    place = f"pinned to CPU {broker['pinned']}" if broker["pinned"] else "not pinned here"
    return f"{binary}, {place}{broker['settings']}"


def all_runs(record):
    """Of all cells."""
    return [run for cell in record["cells"] for run in cell["runs"]]


def failures(record):
    """What went wrong, a line each."""
    for cell in record["cells"]:
        for run in cell["runs"]:
            if run["error"]:
                where = f"{cell['id']} {cell['label']}, {run['broker']}, round {run['round']}"
                yield f"- {where}: {run['error'].strip().splitlines()[-1]}"


def markdown(record):
    """The whole of it."""
    lines = main_table(record) + limit_table(record)
    text = "\n".join(lines) + "\n\n" + "".join(notes(record)) + "\n"
    failed = list(failures(record))
    return text + ("\nFailed runs:\n\n" + "\n".join(failed) + "\n" if failed else "")


def update_readme(path, text):
    """Puts the text between the markers.

    Raises RuntimeError if they are not there.
    """
    path = Path(path)
    old = path.read_text()
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(old)) != 1:
        raise RuntimeError(f"{path} needs one {BEGIN} and one {END}")
    path.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n{END}", old))
