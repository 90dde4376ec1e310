"""The suite diffog's Table VIII and Figure 12: bounds that change while a rollout goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites.page import Page
from dto_eval.suites.runs import Done, Planned, Runs
from dto_eval.suites.verdicts import gain, level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PHASES = ((0.05, 40), (0.1, 80), (0.2, 120), (0.3, None))
# Table VIII: task -> (max, std) of the phases, success; then the same with the static bound.
PAPER_PHASES = {
    "Can": (((0.05, 0.013), (0.08, 0.022), (0.13, 0.034), (0.22, 0.043)), 0.98, (0.09, 0.026), 0.98),
    "Square": (((0.05, 0.013), (0.07, 0.018), (0.09, 0.023), (0.17, 0.028)), 0.83, (0.09, 0.020), 0.87),
}


def write_phases(page: Page, runs: Runs, episodes: int, whole: int) -> None:
    """Add Table VIII and Figure 12; the static bound is the main tables' run, of ``whole`` episodes."""
    page.heading("Table VIII and Figure 12: bounds that change in time")
    columns = ["task", "method", *(f"P{phase}: {figure}" for phase in range(1, 5) for figure in ("max", "std"))]
    columns += ["success", "success with 0.1", "episodes", "episodes with 0.1"]
    rows: list[list[Any]] = []
    shown: dict[str, Done] = {}
    changes = []
    for task, (published, success, _, static) in PAPER_PHASES.items():
        rows.append([task, "DiffOG, the paper", *np.ravel(published).tolist(), success, static, None, None])
        for method in ("diffog", "tracking"):
            options = {"phases": [list(phase) for phase in PHASES]}
            done = runs.get(Planned(f"dto/{task}-v0", method, episodes, options, label="phases"))
            fixed = runs.get(Planned(f"dto/{task}-v0", method, whole))
            if done is None or fixed is None:
                continue
            shown[f"{task}, {method}"] = done
            changes.append(f"{task}, {method}: it {level(gain(fixed, done))}.")
            rates = [run.summary["success_rate"]["mean"] for run in (done, fixed)]
            rows.append([task, method, *np.ravel(_phase_motion(done)).tolist(), *rates, done.episodes, fixed.episodes])
    page.table(
        "table8",
        columns,
        rows,
        caption="Bounds 0.05, 0.1, 0.2, 0.3 in phases of 40 steps; layers are trained with 0.1 only. Largest "
        "difference and standard deviation of differences within a phase, means over the episodes that reach it.",
    )
    claim = "The paper finds success with these bounds comparable to that with 0.1 (level on Can, -4 points on Square)."
    page.text(" ".join([claim, *changes]))
    if shown:
        caption = "The largest difference at every step of the first rollout, beside the bound in force."
        page.figure("figure12", _rollouts(shown), caption)


def _phase_motion(done: Done) -> list[tuple[float, float]]:
    """(largest difference, standard deviation of differences) in every phase."""
    from dto_envs.smoothness import batch_metrics
    from dto_eval.settings import layout_of

    layout = layout_of(done.run.run.protocol)
    figures, begin = [], 0
    for _, end in PHASES:
        # A difference belongs to the action that it leads to, so a phase looks one action back.
        parts = [entry.actions[max(begin - 1, 0) : end] for entry in done.run.actions.values()]
        parts = [part for part in parts if len(part) > 2]
        columns = batch_metrics(parts, layout) if parts else None
        keys = ("max_difference", "std_difference")
        figures.append((float("nan"),) * 2 if columns is None else tuple(float(columns[key].mean()) for key in keys))
        begin = end or begin
    return figures


def _rollouts(shown: Mapping[str, Done]) -> Figure:
    from matplotlib.figure import Figure

    from dto_eval.settings import layout_of

    figure = Figure(figsize=(9, 1.8 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (label, done) in zip(axes, shown.items(), strict=True):
        layout = layout_of(done.run.run.protocol)
        actions = next(iter(done.run.actions.values())).actions
        normalized = layout.normalize(actions)[:, list(layout.trajectory)]
        largest = np.abs(np.diff(normalized, axis=0)).max(axis=1)
        ax.plot(np.arange(1, len(actions)), largest, lw=1)
        bounds = [_bound_at(step) for step in range(len(actions))]
        ax.plot(bounds, color="0.5", drawstyle="steps-post")
        ax.set_title(label, fontsize=9)
        ax.set_ylabel("difference")
    axes[-1].set_xlabel("step")
    return figure


def _bound_at(step: int) -> float:
    """The bound in force at a step of an episode."""
    return next(bound for bound, end in PHASES if end is None or step < end)
