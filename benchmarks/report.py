"""What a person reads: the figures of both side by side, median with lowest and highest, and the ratio.

In: rounds. Out: lines of text, and the summary of the JSON. The ratio is Sayso's cases/s over the by-hand app's.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.contestants import BY_HAND, CONTESTANTS, SAYSO
from benchmarks.figures import spread
from benchmarks.measure import Round, Waiting
from benchmarks.meter import BENCH

Figure = Callable[[Round], float]

FIGURES: tuple[tuple[str, Figure, int], ...] = (
    ("cases/s", lambda one: one.flow.cases_per_second, 1),
    ("starts/s", lambda one: one.flow.starts_per_second, 1),
    ("closes/s", lambda one: one.flow.closes_per_second, 1),
    ("publish to woken, p50 ms", lambda one: one.wake.p50_ms, 1),
    ("publish to woken, p95 ms", lambda one: one.wake.p95_ms, 1),
    ("  at decisions/s", lambda one: one.wake.decisions_per_second, 1),
    ("CPU ms per case", lambda one: one.flow.cpu_ms_per_case_total, 2),
    ("memory MB", lambda one: sum(one.rss_mb.values()), 0),
    ("settled after s", lambda one: one.flow.settle_seconds, 2),
    ("load average before", lambda one: one.load_average, 2),
    ("others' CPU %", lambda one: max(one.flow.others_cpu_percent, one.wake.others_cpu_percent), 1),
)
WAITING_FIGURES: tuple[tuple[str, Callable[[Waiting], str]], ...] = (
    ("cases", lambda one: f"{one.cases:,}"),
    ("starts/s", lambda one: f"{one.starts_per_second:.1f}"),
    ("  median of the first tenth", lambda one: f"{one.starts_per_second_first_tenth:.1f}"),
    ("  median of the last tenth", lambda one: f"{one.starts_per_second_last_tenth:.1f}"),
    ("  last to first", lambda one: f"{one.starts_per_second_last_tenth / one.starts_per_second_first_tenth:.2f}"),
    ("memory KB per case", lambda one: f"{one.rss_kb_per_case_total:.2f}"),
    ("load average before", lambda one: f"{one.load_average:.2f}"),
    ("others' CPU %", lambda one: f"{one.others_cpu_percent:.1f}"),
)
NAME_WIDTH, COLUMN_WIDTH = 28, 28


def ratio(rounds: Sequence[Round]) -> float | None:
    """Sayso's cases/s over the by-hand app's, medians; None unless both ran."""
    medians = [
        statistics.median(speeds)
        for contestant in (SAYSO, BY_HAND)
        if (speeds := [one.flow.cases_per_second for one in rounds if one.contestant == contestant.name])
    ]
    return medians[0] / medians[1] if len(medians) == 2 else None


def summary(rounds: Sequence[Round]) -> dict[str, object]:
    """Medians by contestant, and the ratio."""
    return {
        "ratio": None if (found := ratio(rounds)) is None else round(found, 3),
        **{
            name: {
                title.strip(): round(statistics.median(figure(one) for one in own), max(digits, 2))
                for title, figure, digits in FIGURES
            }
            for name, own in _by_contestant(rounds).items()
        },
    }


def comparison(rounds: Sequence[Round]) -> Iterator[str]:
    """The table of the rounds."""
    columns = _by_contestant(rounds)
    yield _line("", *(CONTESTANTS[name].title for name in columns))
    for title, figure, digits in FIGURES:
        yield _line(title, *(spread([figure(one) for one in own], digits) for own in columns.values()))
    yield from _by_process("CPU ms per case", columns, lambda one: one.flow.cpu_ms_per_case, 2)
    yield from _by_process("memory MB", columns, lambda one: one.rss_mb, 0)
    found = ratio(rounds)
    if found is not None:
        yield f"\nratio, cases/s: Sayso is {found:.2f} times the by-hand app"


def waiting_table(measured: Sequence[Waiting]) -> Iterator[str]:
    """The table of the cases that only wait."""
    yield _line("waiting cases", *(CONTESTANTS[one.contestant].title for one in measured))
    for title, figure in WAITING_FIGURES:
        yield _line(title, *(figure(one) for one in measured))
    for title, table in (
        ("memory KB per case", [one.rss_kb_per_case for one in measured]),
        ("idle CPU, % of a core", [one.idle_cpu_percent for one in measured]),
    ):
        yield f"\n{title}, by process"
        for name in dict.fromkeys(name for column in table for name in column):
            yield _line(f"  {name}", *(f"{column[name]:.2f}" if name in column else "" for column in table))


def _by_process(
    title: str, columns: dict[str, list[Round]], figures: Callable[[Round], dict[str, float]], digits: int
) -> Iterator[str]:
    yield f"\n{title}, by process"
    names = dict.fromkeys(name for own in columns.values() for name in figures(own[0]))
    for name in sorted(names, key=lambda name: (name == BENCH, list(names).index(name))):
        cells = [spread([figures(one)[name] for one in own], digits) if name in figures(own[0]) else "" for own in columns.values()]
        yield _line(f"  {name}", *cells)


def _by_contestant(rounds: Sequence[Round]) -> dict[str, list[Round]]:
    return {name: own for name in CONTESTANTS if (own := [one for one in rounds if one.contestant == name])}


def _line(name: str, *cells: str) -> str:
    return (f"{name:<{NAME_WIDTH}}" + "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells)).rstrip()
