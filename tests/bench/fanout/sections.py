"""The sections that the rounds give: goals, tables, and what to think of them. Pure."""

from collections.abc import Sequence

from tests.bench.fanout import plan
from tests.bench.fanout.chart import Bar, Panel
from tests.bench.fanout.measure import Sample
from tests.bench.fanout.plan import Entry
from tests.bench.fanout.results import Results, Row
from tests.bench.fanout.stats import Estimate, estimate
from tests.bench.section import Section, table

_MOST_OF_FLOOR = 1.2
_LEAST_DELIVERIES_M = 20.0
_OF_NATS_SINGLY, _OF_NATS_BATCHES = 50.0, 5.0
_NONE = "-"


def broadcast_section(results: Results, entries: Sequence[Entry]) -> Section:
    """The same frame to everybody."""
    goals = []
    for work in (plan.THOUSAND, plan.TEN_THOUSAND):
        found = _times_floor(results, plan.TICKGATE, work.key)
        what = f"processor time per frame ÷ the floor's, {work.clients:,} clients"
        goals.append(_at_most(what, found, _MOST_OF_FLOOR))
    parts = [table(("what", "measured", "goal", ""), goals)]
    for work in (plan.THOUSAND, plan.TEN_THOUSAND):
        own = [entry for entry in entries if entry.work == work]
        parts.append(f"#### {work.clients:,} clients, {work.per_s} frames a second each")
        parts.append(table(_BROADCAST_HEAD, [_broadcast_row(results, entry) for entry in own]))
    return Section(
        "The same frame to everybody",
        "\n\n".join([*parts, *_remarks(results, entries)]),
        _figures(results, entries),
        sound=_sound(results),
    )


def routed_section(results: Results, entries: Sequence[Entry]) -> Section:
    """Each client its own symbols."""
    rate = plan.ROUTED_MORE
    tickgate = results.of(plan.TICKGATE, rate.key)
    own = tickgate.estimate(_deliveries_m) if tickgate.samples else None
    singly = _over(results, (plan.NATS_SINGLY, plan.ROUTED_NATS.key))
    batches = _over(results, (plan.NATS_BATCHES, rate.key))
    goals = [
        _at_least("million deliveries per core-second", own, _LEAST_DELIVERIES_M),
        _at_least("the same ÷ nats-server's, given ticks", singly, _OF_NATS_SINGLY),
        _at_least("the same ÷ nats-server's, given batches", batches, _OF_NATS_BATCHES),
    ]
    text = [
        table((f"tickgate at {rate.per_s:,} ticks/s", "measured", "goal", ""), goals),
        table(_ROUTED_HEAD, [_routed_row(results, entry) for entry in entries]),
    ]
    return Section(
        "Each client its own 20 of 500 symbols",
        "\n\n".join([*text, *_remarks(results, entries)]),
        _figures(results, entries),
        sound=_sound(results),
    )


def panels(results: Results, broadcast: Sequence[Entry], routed: Sequence[Entry]) -> list[Panel]:
    """What the chart shows: processor time per frame, and deliveries per core-second."""
    per_frame = [entry for entry in broadcast if entry.work == plan.THOUSAND]
    return [
        Panel(
            "Processor time per delivered frame, µs (less is better)",
            "1,000 clients, the same 512 bytes, 100 times a second; dark: user, light: kernel",
            [bar for entry in per_frame for bar in _frame_bar(results, entry)],
        ),
        Panel(
            "Ticks delivered per core-second, million (more is better)",
            "1,000 clients with 20 of 500 symbols each; JSON; 100 ms batches but where given ticks",
            [bar for entry in routed for bar in _delivery_bar(results, entry)],
        ),
    ]


# ---- tables ----

_BROADCAST_HEAD = (
    "server",
    "µs per frame",
    "user",
    "kernel",
    "÷ floor",
    "frames per core-second",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "resident MB",
    "lost",
)
_ROUTED_HEAD = (
    "server",
    "ticks/s",
    "of a core",
    "ns per delivery",
    "user",
    "kernel",
    "M deliveries per core-second",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "resident MB",
    "lost",
)


def _broadcast_row(results: Results, entry: Entry) -> tuple[str, ...]:
    row = results.of(entry.contender.key, entry.work.key)
    if not row.samples:
        return _empty(results, entry, len(_BROADCAST_HEAD))
    ratio = _times_floor(results, entry.contender.key, entry.work.key)
    return (
        entry.contender.label,
        f"{row.median(_frame_us):.2f}",
        f"{row.median(lambda s: s.us_per_frame(s.user_s)):.2f}",
        f"{row.median(lambda s: s.us_per_frame(s.system_s)):.2f}",
        "1" if entry.contender.key == plan.FLOOR else _interval(ratio),
        f"{1e6 / row.median(_frame_us):,.0f}",
        *_latencies(row),
    )


def _routed_row(results: Results, entry: Entry) -> tuple[str, ...]:
    row = results.of(entry.contender.key, entry.work.key)
    if not row.samples:
        return _empty(results, entry, len(_ROUTED_HEAD))
    return (
        entry.contender.label,
        f"{entry.work.per_s:,}",
        f"{100 * row.median(lambda s: s.cpu_s / s.seconds):.0f} %",
        f"{row.median(lambda s: 1e9 * s.cpu_s / s.receiver.window_items):.0f}",
        f"{row.median(lambda s: 1e9 * s.user_s / s.receiver.window_items):.0f}",
        f"{row.median(lambda s: 1e9 * s.system_s / s.receiver.window_items):.0f}",
        _interval(row.estimate(_deliveries_m)),
        *_latencies(row),
    )


def _latencies(row: Row) -> tuple[str, ...]:
    return (
        f"{row.median(lambda s: s.receiver.p50_ms):.1f}",
        f"{row.median(lambda s: s.receiver.p99_ms):.1f}",
        f"{row.median(lambda s: s.receiver.p999_ms):.1f}",
        f"{max(s.receiver.max_ms for s in row.samples):.1f}",
        f"{row.median(lambda s: s.resident_bytes / 1e6):.0f}",
        _lost(row),
    )


def _lost(row: Row) -> str:
    if not row.behind:
        return f"{row.lost:,}"
    return f"{row.lost:,} (behind in {row.behind} of {len(row.samples)})"


def _empty(results: Results, entry: Entry, width: int) -> tuple[str, ...]:
    contender = entry.contender.key
    reasons = [why for c, work, why in results.failures if (c, work) == (contender, entry.work.key)]
    if contender in results.missing:
        why = f"not measured: {results.missing[contender]}"
    elif reasons:
        why = f"failed: {reasons[0]}"
    else:
        why = "its clients were too busy in every round"
    short = " ".join(why.split())[:120].replace("|", "/")
    return (entry.contender.label, short, *("" for _ in range(width - 2)))


def _remarks(results: Results, entries: Sequence[Entry]) -> list[str]:
    """What a reader must know of the samples that are not plain."""
    keys = {(entry.contender.key, entry.work.key) for entry in entries}
    own = Results([s for s in results.samples if (s.contender, s.work) in keys])
    invalid = sum(not s.valid for s in own.samples)
    busiest = max((s.receiver.busy for s in own.samples), default=0.0)
    remarks = [
        f"{len(own.samples)} samples. The clients' process was busy for at most {busiest:.0%} of a "
        f"sample. Beside {own.disturbed} of them something else, or another "
        "guest of the machine, took more than 5 % of the server's core.",
        _rounds(own),
    ]
    if invalid:
        remarks.append(f"{invalid} samples were left out: the clients' process was saturated.")
    remarks += [
        f"Failed: {contender}, {work}: {' '.join(why.split())[:200]}"
        for contender, work, why in results.failures
        if (contender, work) in keys
    ]
    return [" ".join(remarks)]


def _rounds(results: Results) -> str:
    numbers = sorted({sample.round for sample in results.samples})
    coverage = estimate(numbers).coverage if numbers else 0.0
    return f"{len(numbers)} rounds; what is in brackets holds the true median with {coverage:.0%}."


# ---- goals ----


def _times_floor(results: Results, contender: str, work: str) -> Estimate | None:
    return results.ratio(_frame_us, (contender, work), (plan.FLOOR, work))


def _over(results: Results, other: tuple[str, str]) -> Estimate | None:
    ours = (plan.TICKGATE, plan.ROUTED_MORE.key)
    return results.ratio(_deliveries_m, ours, other)


def _frame_us(sample: Sample) -> float:
    return sample.us_per_frame(sample.cpu_s)


def _deliveries_m(sample: Sample) -> float:
    return sample.deliveries_per_cpu_s / 1e6


def _at_most(what: str, found: Estimate | None, goal: float) -> tuple[str, ...]:
    return what, _interval(found), f"≤ {goal:g}", _met(found is not None and found.median <= goal)


def _at_least(what: str, found: Estimate | None, goal: float) -> tuple[str, ...]:
    return what, _interval(found), f"≥ {goal:g}", _met(found is not None and found.median >= goal)


def _met(met: bool) -> str:
    return "met" if met else "**missed**"


def _interval(found: Estimate | None) -> str:
    if found is None:
        return _NONE
    digits = 2 if found.median < 10 else 1
    return f"{found.median:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


# ---- figures and chart ----


def _figures(results: Results, entries: Sequence[Entry]) -> dict[str, float]:
    found = {}
    for entry in entries:
        row = results.of(entry.contender.key, entry.work.key)
        if row.samples:
            name = f"{entry.work.key} {entry.contender.key}"
            found[f"{name} us_per_frame"] = row.median(_frame_us)
            found[f"{name} deliveries_m"] = row.median(_deliveries_m)
    return found


def _sound(results: Results) -> bool:
    """Did tickgate and the floor run, and lose nothing? What others lose is theirs."""
    ours = {plan.TICKGATE, plan.FLOOR}
    failed = {contender for contender, _, _ in results.failures} | results.missing.keys()
    lost = any(s.lost or s.receiver.closed for s in results.samples if s.contender in ours)
    return not lost and not failed & ours


def _frame_bar(results: Results, entry: Entry) -> list[Bar]:
    row = results.of(entry.contender.key, entry.work.key)
    if not row.samples:
        return []
    user = row.median(lambda s: s.us_per_frame(s.user_s))
    system = row.median(lambda s: s.us_per_frame(s.system_s))
    total = row.median(_frame_us)
    return [Bar(_plain(entry), (user, system), f"{total:.2f}", _kind(entry))]


def _delivery_bar(results: Results, entry: Entry) -> list[Bar]:
    row = results.of(entry.contender.key, entry.work.key)
    if not row.samples:
        return []
    value = row.median(_deliveries_m)
    label = f"{_plain(entry)}, {entry.work.per_s // 1000} k/s"
    behind = ", fell behind" if 2 * row.behind > len(row.samples) else ""
    return [Bar(label, (value,), f"{value:.2f}{behind}", _kind(entry))]


def _plain(entry: Entry) -> str:
    return entry.contender.label.replace("`", "").replace("*", "").replace("nginx with ", "")


def _kind(entry: Entry) -> str:
    return {plan.TICKGATE: "ours", plan.FLOOR: "floor"}.get(entry.contender.key, "")
