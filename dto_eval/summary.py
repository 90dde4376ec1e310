"""The figures of one run, computed from its records and recorded actions: ``summary.json`` and ``summary.md``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dto_envs.smoothness import VIOLATION_TOLERANCE, batch_metrics, motion_groups
from dto_eval import statistics
from dto_eval.run_folder import FinishedRun, Key
from dto_eval.settings import layout_of

SUMMARY_JSON, SUMMARY_MD = "summary.json", "summary.md"

# Figures of the normalised differences that get an interval of their own: key -> column of batch_metrics.
DIFFERENCES: Mapping[str, str] = {
    "max_difference": "max_difference",
    "std_difference": "std_difference",
    "mean_difference": "mean_abs_difference",
}
# Jumps from the last executed action of one chunk to the first of the next, against all other differences.
_BOUNDARIES: Mapping[str, str] = {
    "max_difference": "boundary_max_difference",
    "mean_difference": "boundary_mean_difference",
    "mean_difference_within": "interior_mean_difference",
}
_MOTION = ("peak_velocity", "peak_acceleration", "peak_jerk", "normalized_jerk", "sparc", "ldlj")


def run_bound(finished: FinishedRun) -> Any:
    """The limit that a run's actions are held against: its filter's bound, or the environment's where it has none."""
    protocol = finished.run.protocol
    return protocol.filter_options.get("bound", layout_of(protocol).bound)


def episode_metrics(finished: FinishedRun) -> dict[str, np.ndarray]:
    """Smoothness columns of all episodes, in the order of ``finished.episodes``."""
    layout = layout_of(finished.run.protocol)
    entries = [finished.actions[key] for key in finished.episodes]
    chunks = {entry.n_action_steps for entry in entries}
    # Where every action is a chunk of its own, no jump between chunks can be told from another difference.
    n_action_steps = chunks.pop() if len(chunks) == 1 and chunks != {1} else None
    return batch_metrics([entry.actions for entry in entries], layout, n_action_steps, run_bound(finished))


def summarize(finished: FinishedRun, *, episodes_per_second: float | None = None) -> dict[str, Any]:
    """All figures of a run as plain data.

    Means come with two-way cluster bootstrap intervals over members and inits. ``max_violation`` is the largest excess
    of any action difference over the limit, normalised: the filter's bound, or the environment's for a run without a
    filter. ``cost`` is there where every episode has one. ``solved`` repeats the smoothness figures on the successful
    episodes alone.

    Args:
        finished: the run.
        episodes_per_second: as measured; None where nothing was simulated.
    """
    protocol, records = finished.run.protocol, finished.episodes
    columns = episode_metrics(finished)

    def interval(values: Any, where: np.ndarray | None = None) -> dict[str, float] | None:
        return _interval(list(records), np.asarray(values, dtype=np.float64), where)

    success = {key: float(record.success_once) for key, record in records.items()}
    solved = np.array(list(success.values())) > 0
    score = {key: record.score for key, record in records.items()}
    at_end = {key: float(record.success_at_end) for key, record in records.items()}
    # Medians: the first calls of a process, which load and compile, are no part of an agent's speed.
    costs = [record.cost for record in records.values()]
    timings = {name: float(np.median([getattr(r, name) for r in records.values()])) for name in _TIMINGS}
    return {
        "agent": protocol.agent,
        "env_id": protocol.env_id,
        "base": protocol.base,
        "filter": protocol.filter,
        "filter_options": protocol.filter_options,
        "bound": run_bound(finished),
        "episodes": len(records),
        "success_rate": statistics.proportion_interval(statistics.table(success)).as_dict(),
        "success_at_end": statistics.proportion_interval(statistics.table(at_end)).as_dict(),
        "score": statistics.proportion_interval(statistics.table(score)).as_dict(),
        **({} if None in costs else {"cost": interval(costs)}),
        "steps": interval([record.steps for record in records.values()]),
        **{name: interval(columns[column]) for name, column in DIFFERENCES.items()},
        "max_violation": float(columns["max_violation"].max()),
        "violating_episodes": int((columns["violations"] > 0).sum()),
        "filter_unresolved": max(record.filter_unresolved for record in records.values()),
        "chunk_boundaries": {name: _mean(columns[column]) for name, column in _BOUNDARIES.items()},
        "groups": _groups(finished, columns),
        "solved": {
            "episodes": int(solved.sum()),
            **{name: interval(columns[column], solved) for name, column in DIFFERENCES.items()},
        },
        "members": _members(finished),
        **timings,
        "episodes_per_second": episodes_per_second,
    }


_TIMINGS = ("policy_ms", "filter_ms")


def write_summary(finished: FinishedRun, *, episodes_per_second: float | None = None) -> dict[str, Any]:
    """Write ``summary.json`` and ``summary.md`` into the run's folder and return the figures.

    Where nothing was simulated now, the measured rate of the earlier summary stays.
    """
    path = finished.path / SUMMARY_JSON
    if episodes_per_second is None and path.exists():
        episodes_per_second = json.loads(path.read_text(encoding="utf-8")).get("episodes_per_second")
    summary = summarize(finished, episodes_per_second=episodes_per_second)
    path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (finished.path / SUMMARY_MD).write_text(markdown(summary, finished), encoding="utf-8")
    return summary


def table_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that a person reads first, as (name, text)."""
    rows = [
        ("success rate", _text(summary["success_rate"], 3)),
        ("score", _text(summary["score"], 3)),
        *([("cost", _text(summary["cost"], 3))] if "cost" in summary else []),
        ("steps", _text(summary["steps"], 1)),
        ("max difference", _text(summary["max_difference"], 4)),
        ("std of differences", _text(summary["std_difference"], 4)),
        ("mean difference", _text(summary["mean_difference"], 4)),
        ("largest violation", _violation(summary)),
        ("policy, filter", f"{summary['policy_ms']:.1f} ms, {summary['filter_ms']:.1f} ms a batched call"),
    ]
    if summary["episodes_per_second"] is not None:
        rows.append(("speed", f"{summary['episodes_per_second']:.2f} episodes/s"))
    return rows


def markdown(summary: Mapping[str, Any], finished: FinishedRun) -> str:
    """``summary.md``: the figures, how they are meant, and where the run came from."""
    protocol, origin = finished.run.protocol, finished.run.provenance
    lines = [
        f"# {summary['agent']} on {summary['env_id']}",
        "",
        f"{summary['episodes']} episodes: {len(protocol.members)} members, inits from {protocol.first_init}, "
        f"seed {protocol.seed}. Base {protocol.base}, filter {protocol.filter or 'none'}"
        + (f" {json.dumps(protocol.filter_options)}." if protocol.filter else "."),
        "",
        "| | mean [95 % interval] |",
        "|---|---|",
        *(f"| {name} | {text} |" for name, text in table_rows(summary)),
        "",
        "Differences are those of successive commanded actions on the normalised scale, averaged over the trajectory",
        "dimensions. Intervals: two-way cluster bootstrap over members and inits.",
        "",
        "## Members",
        "",
        "| member | episodes | success rate [Wilson 95 %] | score |",
        "|---|---|---|---|",
        *(
            f"| {member['name']} | {member['episodes']} | {_text(member['success_rate'], 3)} | {member['score']:.3f} |"
            for member in summary["members"]
        ),
        "",
        *_motion_lines(summary),
        "## Origin",
        "",
        f"{origin.created}; commit {origin.git_commit or 'unknown'}{' with changes' if origin.git_dirty else ''}; "
        f"{origin.platform}; " + ", ".join(f"{name} {version}" for name, version in origin.versions.items()),
        "",
    ]
    return "\n".join(lines)


def _motion_lines(summary: Mapping[str, Any]) -> list[str]:
    """The table of each group's normalised differences and motion in physical units."""
    columns = ["max_difference", "std_difference", "mean_difference", *_MOTION]
    header = ["group", "unit", *(name.replace("_", " ") for name in columns)]
    rows = [
        [name, group["unit"], *("-" if group[column] is None else f"{group[column]:.4g}" for column in columns)]
        for name, group in summary["groups"].items()
    ]
    body = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    boundaries = summary["chunk_boundaries"]
    jumps = []
    if boundaries["max_difference"] is not None:
        jumps = [
            "From one chunk to the next the largest difference of an episode is {max_difference:.4f}, the mean one "
            "{mean_difference:.4f}, against {mean_difference_within:.4f} within chunks.".format(**boundaries),
            "",
        ]
    return ["## Motion", "", *body, "", *jumps]


def _groups(finished: FinishedRun, columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Means over episodes for every group of dimensions that share a unit; None where a figure is undefined."""
    layout = layout_of(finished.run.protocol)
    groups: dict[str, dict[str, Any]] = {}
    for name, dimensions in motion_groups(layout).items():
        figures = {key: _mean(columns[f"{name}/{column}"]) for key, column in DIFFERENCES.items()}
        figures |= {key: _mean(columns[f"{name}/{key}"]) for key in _MOTION}
        groups[name] = {"unit": layout.units[dimensions[0]], **figures}
    return groups


def _members(finished: FinishedRun) -> list[dict[str, Any]]:
    """One entry for every member that had an episode."""
    entries = []
    for member in finished.run.protocol.members:
        own = [record for record in finished.episodes.values() if record.member == member.name]
        if own:
            successes = sum(record.success_once for record in own)
            entries.append(
                {
                    "name": member.name,
                    "episodes": len(own),
                    "success_rate": statistics.wilson(successes, len(own)).as_dict(),
                    "score": _mean([record.score for record in own]),
                }
            )
    return entries


def _interval(keys: list[Key], values: np.ndarray, where: np.ndarray | None) -> dict[str, float] | None:
    """Mean and interval of the values that are defined (and chosen by ``where``); None where there is none."""
    chosen = ~np.isnan(values) if where is None else where & ~np.isnan(values)
    if not chosen.any():
        return None
    defined = {key: value for key, value, use in zip(keys, values, chosen, strict=True) if use}
    return statistics.mean_interval(statistics.table(defined)).as_dict()


def _mean(values: Any) -> float | None:
    """Mean of the defined values, None without any."""
    array = np.asarray(values, dtype=np.float64)
    array = array[~np.isnan(array)]
    return float(array.mean()) if len(array) else None


def _text(interval: Mapping[str, float] | None, digits: int) -> str:
    if interval is None or any(math.isnan(value) for value in interval.values()):
        return "-"
    return "{mean:.{d}f} [{lo:.{d}f}, {hi:.{d}f}]".format(d=digits, **interval)


def _violation(summary: Mapping[str, Any]) -> str:
    if summary["max_violation"] <= VIOLATION_TOLERANCE:
        return f"none (bound {summary['bound']})"
    excess, count = summary["max_violation"], summary["violating_episodes"]
    return f"{excess:.4f} above the bound {summary['bound']}, in {count} episodes"
