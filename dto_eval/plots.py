"""The pictures of one run: success with intervals, differences against the bound, actions before and after a filter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dto_envs import registry
from dto_eval.actions_file import EpisodeActions
from dto_eval.run_folder import FinishedRun
from dto_eval.settings import layout_of
from dto_eval.summary import run_bound

SUCCESS, DIFFERENCES, ACTIONS = "success.png", "differences.png", "actions.png"
_BLUE, _GRAY, _RED = "#2f6db5", "#9a9a9a", "#c0392b"


def write_plots(finished: FinishedRun, summary: Mapping[str, Any]) -> list[Path]:
    """Draw all pictures into the run's folder."""
    return [plot_success(finished, summary), plot_differences(finished), plot_actions(finished)]


def plot_success(finished: FinishedRun, summary: Mapping[str, Any]) -> Path:
    """Success rate, or the score where that leads the board: every member's, and the run's with its interval."""
    row = registry.row(finished.run.protocol.env_id)
    figure, axes = _figure(5.0, 1.4 + 0.35 * (1 + len(summary["members"])))
    names = [member["name"] for member in summary["members"]]
    for height, member in enumerate(summary["members"]):
        rate = member["success_rate"]
        _point(axes, height, rate, _GRAY)
    _point(axes, len(names), summary["success_rate"], _BLUE)
    labels = [*names, "all"]
    if row.headline == "score":
        _point(axes, len(names) + 1, summary["score"], _RED)
        labels.append("score, all")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlabel(f"{'success rate and score' if row.headline == 'score' else 'success rate'}, 95 % intervals")
    axes.grid(axis="x", alpha=0.3)
    return _save(figure, axes, finished, SUCCESS)


def plot_differences(finished: FinishedRun) -> Path:
    """Every episode's largest difference of successive normalised actions in any dimension, against the bound.

    Where there is a filter, also what the base policy proposed for the same steps.
    """
    layout = layout_of(finished.run.protocol)
    bound = float(np.max(run_bound(finished)))
    entries = [finished.actions[key] for key in finished.episodes]
    commanded = [_largest_difference(entry.actions, layout) for entry in entries]
    wanted = [_largest_difference(_wanted(entry), layout) for entry in entries]
    figure, axes = _figure(6.0, 3.0)
    bins = np.linspace(0, max(1.1 * bound, *commanded, *wanted) * 1.02, 60).tolist()
    if finished.run.protocol.filter is not None:
        axes.hist(wanted, bins=bins, color=_GRAY, alpha=0.8, label="before the filter")
    axes.hist(commanded, bins=bins, color=_BLUE, alpha=0.8, label="commanded")
    axes.axvline(bound, color=_RED, linestyle="--", label=f"bound {bound:g}")
    axes.set_xlabel("largest difference of an episode in any dimension, normalised")
    axes.set_ylabel("episodes")
    axes.legend(fontsize=8, frameon=False)
    return _save(figure, axes, finished, DIFFERENCES)


def plot_actions(finished: FinishedRun, dimensions: int = 3) -> Path:
    """One episode's first trajectory dimensions, normalised: proposed by the base policy, and commanded.

    The episode is the one whose largest difference, before any filter, is the median of the run's.
    """
    layout = layout_of(finished.run.protocol)
    keys = list(finished.episodes)
    wanted = [_wanted(finished.actions[key]) for key in keys]
    sizes = [_largest_difference(actions, layout) for actions in wanted]
    key = keys[int(np.argsort(sizes, kind="stable")[len(sizes) // 2])]
    entry = finished.actions[key]
    actions = layout.normalize(entry.actions.astype(np.float64))
    shown = layout.trajectory[:dimensions]
    figure, axes = _figure(7.0, 0.6 + 1.5 * len(shown), rows=len(shown))
    time = np.arange(len(actions)) * layout.dt
    for panel, dimension in zip(axes, shown, strict=True):
        if entry.proposed is not None:
            proposed = layout.normalize(entry.proposed.astype(np.float64))
            panel.step(time, proposed[:, dimension], where="post", color=_GRAY, linewidth=1, label="before the filter")
        label = "commanded" if entry.proposed is None else "after the filter"
        panel.step(time, actions[:, dimension], where="post", color=_BLUE, linewidth=1.4, label=label)
        panel.set_ylabel(layout.names[dimension])
    axes[0].legend(fontsize=8, loc="upper right")
    axes[0].set_title(f"{finished.run.protocol.agent}: {key[0]}, init {key[1]}", fontsize=9)
    axes[-1].set_xlabel("time [s]")
    return _save(figure, axes, finished, ACTIONS)


def _wanted(entry: EpisodeActions) -> np.ndarray:
    """What the base policy proposed, or what was commanded where there is no filter."""
    return entry.actions if entry.proposed is None else entry.proposed


def _largest_difference(actions: np.ndarray, layout: Any) -> float:
    normalized = layout.normalize(actions.astype(np.float64))[:, list(layout.trajectory)]
    return float(np.abs(np.diff(normalized, axis=0)).max(initial=0.0))


def _point(axes: Any, height: float, interval: Mapping[str, float], color: str) -> None:
    axes.plot([interval["lo"], interval["hi"]], [height, height], color=color, linewidth=2.5, solid_capstyle="butt")
    axes.plot(interval["mean"], height, "o", color=color, clip_on=False)


def _figure(width: float, height: float, rows: int | None = None) -> tuple[Any, Any]:
    """A figure that needs no display and no global state; a list of panels where ``rows`` is given."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    if rows is None:
        return figure, figure.add_subplot()
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def _save(figure: Any, axes: Any, finished: FinishedRun, name: str) -> Path:
    if not isinstance(axes, list):
        axes.set_title(f"{finished.run.protocol.agent} on {finished.run.protocol.env_id}", fontsize=9)
    path = finished.path / name
    figure.savefig(path, dpi=120)
    return path
