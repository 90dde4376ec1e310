"""Compare two runs episode by episode: the same inits, the same members, the difference of every figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dto_eval import statistics
from dto_eval.run_folder import FinishedRun, Key, load_run
from dto_eval.statistics import Interval
from dto_eval.summary import DIFFERENCES, episode_metrics


class ComparisonError(ValueError):
    """Two runs cannot be compared; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """Paired differences of two runs, ``second - first``.

    Attributes:
        env_id: the environment.
        first: agent of the first run.
        second: agent of the second run.
        members: names of the members that were paired; those of the run with more of them.
        episodes: number of pairs.
        only_first: pairs that only the first run solved.
        only_second: pairs that only the second run solved.
        differences: figure -> mean difference with a 95 % interval, over all pairs: ``success_rate``, ``score``,
            ``steps``, ``max_difference``, ``std_difference``, ``mean_difference``.
        solved: pairs that both runs solved.
        solved_differences: the smoothness figures on those pairs; empty where there are none.
    """

    env_id: str
    first: str
    second: str
    members: tuple[str, ...]
    episodes: int
    only_first: int
    only_second: int
    differences: Mapping[str, Interval]
    solved: int
    solved_differences: Mapping[str, Interval]


def compare_runs(first: FinishedRun | Path, second: FinishedRun | Path) -> Comparison:
    """Compare two complete runs on the (member, init) pairs that both have.

    A run with a single member (an agent without weights has one, ``only``) is compared with every member of the other.

    Raises:
        RunFolderError: a folder does not hold a complete run.
        ComparisonError: other environments or conditions, no common episodes, or inits that began differently.
    """
    first = first if isinstance(first, FinishedRun) else load_run(first)
    second = second if isinstance(second, FinishedRun) else load_run(second)
    _check_conditions(first, second)
    pairs = pair_episodes(first, second)
    figures = _figures(first), _figures(second)
    differences = {name: _difference(pairs, figures[0][name], figures[1][name]) for name in figures[0]}
    outcomes = [(figures[0]["success_rate"][a], figures[1]["success_rate"][b]) for a, b in pairs.values()]
    solved = {key: pair for (key, pair), outcome in zip(pairs.items(), outcomes, strict=True) if outcome == (1, 1)}
    return Comparison(
        env_id=first.run.protocol.env_id,
        first=first.run.protocol.agent,
        second=second.run.protocol.agent,
        members=tuple(dict.fromkeys(member for member, _ in pairs)),
        episodes=len(pairs),
        only_first=outcomes.count((1, 0)),
        only_second=outcomes.count((0, 1)),
        differences=differences,
        solved=len(solved),
        solved_differences={n: _difference(solved, figures[0][n], figures[1][n]) for n in DIFFERENCES if solved},
    )


def pair_episodes(first: FinishedRun, second: FinishedRun) -> dict[Key, tuple[Key, Key]]:
    """The episodes that belong together: (member, init) -> the key in either run.

    Raises:
        ComparisonError: there are none, or an init began differently in the two runs.
    """
    members = [sorted({member for member, _ in run.episodes}) for run in (first, second)]
    common = [name for name in members[0] if name in members[1]]
    if common:
        partners = {name: (name, name) for name in common}
    elif len(members[1]) == 1:
        partners = {name: (name, members[1][0]) for name in members[0]}
    elif len(members[0]) == 1:
        partners = {name: (members[0][0], name) for name in members[1]}
    else:
        raise ComparisonError(f"no members in common: {', '.join(members[0])} and {', '.join(members[1])}")
    inits = sorted({init for _, init in first.episodes} & {init for _, init in second.episodes})
    pairs: dict[Key, tuple[Key, Key]] = {}
    for name, (one, other) in partners.items():
        for init in inits:
            if (one, init) in first.episodes and (other, init) in second.episodes:
                pairs[name, init] = ((one, init), (other, init))
    if not pairs:
        raise ComparisonError("the runs have no inits in common")
    for a, b in pairs.values():
        if first.episodes[a].init_hash != second.episodes[b].init_hash:
            raise ComparisonError(f"init {a[1]} began differently in the two runs: other versions of the simulator?")
    return pairs


def _check_conditions(first: FinishedRun, second: FinishedRun) -> None:
    one, other = first.run.protocol, second.run.protocol
    for name in ("env_id", "run_out"):
        if getattr(one, name) != getattr(other, name):
            raise ComparisonError(f"{name} differs: {getattr(one, name)} and {getattr(other, name)}")


def _figures(finished: FinishedRun) -> dict[str, dict[Key, float]]:
    """Figure -> (member, init) -> value."""
    records = finished.episodes
    columns = episode_metrics(finished)
    figures = {
        "success_rate": {key: float(record.success_once) for key, record in records.items()},
        "score": {key: record.score for key, record in records.items()},
        "steps": {key: float(record.steps) for key, record in records.items()},
    }
    for name, column in DIFFERENCES.items():
        figures[name] = dict(zip(records, columns[column].tolist(), strict=True))
    return figures


def _difference(pairs: Mapping[Key, tuple[Key, Key]], one: Mapping[Key, float], other: Mapping[Key, float]) -> Interval:
    values = {key: other[b] - one[a] for key, (a, b) in pairs.items()}
    return statistics.mean_interval(np.atleast_2d(statistics.table(values)))
