"""From submissions to the rows of a board: every figure is computed from the records and actions, none is taken over.

An agent is on the front where no other one is both at least as successful and at least as smooth, and one of the two
strictly. A robot that stands still is perfectly smooth and a random one sometimes lucky, so only agents that do better
than standing still can be on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dto_agents.catalogue import ONLY
from dto_envs.actions import ActionLayout
from dto_envs.registry import row
from dto_envs.smoothness import batch_metrics, motion_groups
from dto_eval import statistics
from dto_eval.boards.checks import provenance_flags
from dto_eval.boards.evidence import Key, resolved_violation
from dto_eval.boards.submit import Admitted
from dto_eval.statistics import Interval

REFERENCES = ("random", "hold")
# Measured with an interval for every row, and once more on the episodes that all compared agents solved.
SMOOTHNESS = ("max_difference", "std_difference", "mean_abs_difference", "std_abs_difference")
JUMPS = ("boundary_max_difference", "boundary_mean_difference", "interior_mean_difference")
# Costs over the lowest are capped as by Hu et al. (2023): where the task is not done, and elsewhere.
FAILURE_RATIO, SUCCESS_RATIO = 10.0, 5.0
MOTION = ("peak_velocity", "peak_acceleration", "peak_jerk", "normalized_jerk", "sparc", "ldlj")


@dataclass(frozen=True)
class BoardRow:
    """One submission on a board.

    Attributes:
        name: ``<Task>/<agent>/<digest>``, its folder below the submissions.
        agent: the agent's name.
        created: UTC time of the run's start.
        commit: commit of the code that ran.
        flags: what a reader should know of the run's origin.
        episodes: number of episodes.
        members: number of members.
        success: success rate.
        score: mean score.
        steps: mean number of steps.
        smoothness: the figures of ``SMOOTHNESS``, over all episodes.
        violating: share of the episodes that break the task's limit visibly, by more than ``resolved_violation``.
        max_violation: largest excess over the task's limit, normalised; 0 where none is visible.
        limits: action dimension -> number of visible violations of its limit, and the largest excess.
        jumps: means of the figures of ``JUMPS``, None where every action is a chunk.
        groups: group -> mean of each figure of ``SMOOTHNESS`` and ``MOTION``, None where it is undefined.
        solved: number of episodes that all compared agents solved; 0 for rows that are not compared.
        solved_smoothness: means of the figures of ``SMOOTHNESS``, of the steps, and of the cost where there is one, on
            these.
        front: True on the Pareto front of headline and smoothness.
        cost: mean cost of the episodes with success; None without any, or where there are no costs.
        cost_ratio: mean over episodes of the cost over the lowest that any row has for that init, capped at 5, and 10
            for episodes without success; None where there are no costs.
    """

    name: str
    agent: str
    created: str
    commit: str | None
    flags: tuple[str, ...]
    episodes: int
    members: int
    success: Interval
    score: Interval
    steps: float
    smoothness: Mapping[str, Interval]
    violating: float
    max_violation: float
    limits: Mapping[str, tuple[int, float]]
    jumps: Mapping[str, float | None]
    groups: Mapping[str, Mapping[str, float | None]]
    solved: int = 0
    solved_smoothness: Mapping[str, float] | None = None
    front: bool = False
    cost: Interval | None = None
    cost_ratio: Interval | None = None

    def headline(self, name: str) -> Interval:
        """The figure that leads the board, ``success`` or ``score``."""
        return self.success if name == "success" else self.score


@dataclass(frozen=True)
class Board:
    """All submissions for one environment.

    Attributes:
        env_id: environment id.
        headline: what the board leads with, ``success`` or ``score``.
        rows: best headline first.
        reference: the agent whose members are compared, None where there is none.
    """

    env_id: str
    headline: str
    rows: tuple[BoardRow, ...]
    reference: str | None = None


@dataclass(frozen=True)
class _Measured:
    """A row with the values of its episodes."""

    row: BoardRow
    values: dict[str, dict[Key, float]]
    solved: frozenset[Key]
    members: frozenset[str]


def make_boards(submissions: Sequence[Admitted]) -> tuple[Board, ...]:
    """One board for every environment with submissions, by id."""
    env_ids = sorted({entry.submission.run.protocol.env_id for entry in submissions})
    return tuple(
        make_board(env_id, [entry for entry in submissions if entry.submission.run.protocol.env_id == env_id])
        for env_id in env_ids
    )


def make_board(env_id: str, submissions: Sequence[Admitted]) -> Board:
    """Measure ``submissions``, all for ``env_id``, and put them in order."""
    headline = row(env_id).headline
    measured = [_measure(entry) for entry in submissions]
    if row(env_id).has_cost:
        measured = _with_cost_ratios(measured)
    reference = _reference(measured, headline)
    if reference is not None:
        measured = _solved_by_all(measured, reference, headline)
    rows = mark_front([entry.row for entry in measured], headline)
    ordered = tuple(sorted(rows, key=lambda entry: _order(entry, headline)))
    return Board(env_id, headline, ordered, reference.row.agent if reference else None)


def mark_front(rows: Sequence[BoardRow], headline: str) -> list[BoardRow]:
    """The rows with ``front`` set.

    Compared are the headline and the standard deviation of differences as a board prints them, so that agents which
    look equal are equal. Only rows whose interval lies above the best one that stands still (above 0 without one)
    can be on the front.
    """
    floor = max((entry.headline(headline).hi for entry in rows if entry.agent == "hold"), default=0.0)
    points = [(round(entry.headline(headline).mean, 3), -round(_roughness(entry), 4)) for entry in rows]
    able = [entry.headline(headline).lo > floor and entry.agent not in REFERENCES for entry in rows]
    return [
        replace(entry, front=able[index] and not _dominated(points[index], points, able))
        for index, entry in enumerate(rows)
    ]


def _dominated(point: tuple[float, float], points: Sequence[tuple[float, float]], able: Sequence[bool]) -> bool:
    return any(
        capable and other != point and other[0] >= point[0] and other[1] >= point[1]
        for other, capable in zip(points, able, strict=True)
    )


def _order(entry: BoardRow, headline: str) -> tuple[float, float, str]:
    return -round(entry.headline(headline).mean, 3), round(_roughness(entry), 4), entry.name


def _roughness(entry: BoardRow) -> float:
    return entry.smoothness["std_difference"].mean


def _measure(entry: Admitted) -> _Measured:
    submission, episodes = entry.submission, entry.submission.episodes
    protocol, origin = submission.run.protocol, submission.run.provenance
    # Where every action is a chunk of its own, no jump between chunks can be told from another difference.
    chunk = submission.n_action_steps if submission.n_action_steps != 1 else None
    visible = resolved_violation(submission.layout)
    columns = batch_metrics(submission.actions(), submission.layout, chunk, tolerance=visible)
    values = {name: dict(zip(episodes, columns[name].tolist(), strict=True)) for name in SMOOTHNESS}
    values["steps"] = {key: float(episode.steps) for key, episode in episodes.items()}
    success = {key: float(episode.success_once) for key, episode in episodes.items()}
    score = {key: episode.score for key, episode in episodes.items()}
    costs = {key: episode.cost for key, episode in episodes.items() if episode.cost is not None}
    values |= {"cost": costs} if costs else {}
    paid = {key: cost for key, cost in costs.items() if success[key]}
    limits = _limits(columns, submission.layout)
    made = BoardRow(
        name=entry.name,
        agent=protocol.agent,
        created=origin.created,
        commit=origin.git_commit,
        flags=provenance_flags(origin),
        episodes=len(episodes),
        members=len(protocol.members),
        success=statistics.proportion_interval(statistics.table(success)),
        score=statistics.mean_interval(statistics.table(score)),
        steps=float(np.mean(list(values["steps"].values()))),
        smoothness={name: statistics.mean_interval(statistics.table(values[name])) for name in SMOOTHNESS},
        violating=float(np.mean(columns["violations"] > 0)),
        max_violation=max(largest for _, largest in limits.values()),
        limits=limits,
        jumps={name: _defined_mean(columns[name]) for name in JUMPS},
        groups={
            group: {name: _defined_mean(columns[f"{group}/{name}"]) for name in (*SMOOTHNESS, *MOTION)}
            for group in motion_groups(submission.layout)
        },
        cost=statistics.mean_interval(statistics.table(paid)) if paid else None,
    )
    solved = frozenset(key for key, value in success.items() if value)
    return _Measured(made, values, solved, frozenset(member.name for member in protocol.members))


def _limits(columns: Mapping[str, np.ndarray], layout: ActionLayout) -> dict[str, tuple[int, float]]:
    counts = columns["violations_by_dimension"].sum(axis=0)
    sizes = columns["max_violation_by_dimension"].max(axis=0)
    names = [layout.names[index] for index in layout.trajectory]
    return {
        name: (int(count), float(size) if count else 0.0)
        for name, count, size in zip(names, counts, sizes, strict=True)
    }


def _reference(measured: list[_Measured], headline: str) -> _Measured | None:
    """The best of all rows named ``base``; where no task's policy has that name, the best row with trained members."""
    bases = [entry for entry in measured if entry.row.agent == "base"]
    candidates = bases or [entry for entry in measured if entry.members != {ONLY}]
    return max(candidates, key=lambda entry: (entry.row.headline(headline).mean, entry.row.name), default=None)


def _solved_by_all(measured: list[_Measured], best: _Measured, headline: str) -> list[_Measured]:
    """Add the means on the episodes that all compared agents solved.

    Compared are the agents with the members of ``best`` and at least half its headline: one that fails nearly always
    would leave nothing to compare on.
    """
    least = best.row.headline(headline).mean / 2
    compared = [
        entry for entry in measured if entry.members == best.members and entry.row.headline(headline).mean >= least
    ]
    common = sorted(frozenset.intersection(*(entry.solved for entry in compared)))
    if not common:
        return measured
    return [_with_solved(entry, common) if entry in compared else entry for entry in measured]


def _with_cost_ratios(measured: list[_Measured]) -> list[_Measured]:
    """Add costs over the lowest of each init."""
    lowest: dict[int, float] = {}
    for entry in measured:
        for key in entry.solved:
            lowest[key[1]] = min(entry.values["cost"][key], lowest.get(key[1], np.inf))
    return [_with_cost_ratio(entry, lowest) for entry in measured]


def _with_cost_ratio(entry: _Measured, lowest: Mapping[int, float]) -> _Measured:
    def ratio(key: Key, cost: float) -> float:
        return min(cost / lowest[key[1]], SUCCESS_RATIO) if key in entry.solved else FAILURE_RATIO

    ratios = statistics.table({key: ratio(key, cost) for key, cost in entry.values["cost"].items()})
    return replace(entry, row=replace(entry.row, cost_ratio=statistics.mean_interval(ratios)))


def _with_solved(entry: _Measured, common: Sequence[Key]) -> _Measured:
    means = {name: float(np.mean([by_key[key] for key in common])) for name, by_key in entry.values.items()}
    return replace(entry, row=replace(entry.row, solved=len(common), solved_smoothness=means))


def _defined_mean(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None
