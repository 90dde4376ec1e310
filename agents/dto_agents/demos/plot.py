"""One picture of a set of demonstrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dto_agents.demos.dataset import Demonstrations
from dto_agents.demos.statistics import HUMAN, pooled_differences
from dto_envs.registry import row
from dto_envs.smoothness import batch_metrics, motion_groups

_COLORS = ("#2f6db5", "#e08e2b", "#5a9a4a")
_BOUND = "#c0392b"


def plot_demonstrations(demonstrations: Demonstrations, path: Path) -> None:
    """Draw lengths, differences against the bound, per-episode maxima and one episode's actions into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    _lengths(axes[0, 0], demonstrations)
    _differences(axes[0, 1], demonstrations)
    _maxima(axes[1, 0], demonstrations)
    _actions(axes[1, 1], demonstrations)
    steps = f"{len(demonstrations.episodes)} episodes, {demonstrations.steps} steps"
    figure.suptitle(f"{demonstrations.env_id}: {steps}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _lengths(axes, demonstrations: Demonstrations) -> None:
    axes.hist([len(episode) for episode in demonstrations.episodes], bins=30, color=_COLORS[0])
    axes.set(xlabel="steps of an episode", ylabel="episodes")


def _differences(axes, demonstrations: Demonstrations) -> None:
    layout = row(demonstrations.env_id).layout
    differences = np.abs(pooled_differences(demonstrations))
    for color, (name, dimensions) in zip(_COLORS, motion_groups(layout).items(), strict=False):
        values = np.sort(differences[:, list(dimensions)].ravel())
        axes.plot(values, 1 - np.arange(len(values)) / len(values), color=color, label=name)
    axes.axvline(layout.bound, color=_BOUND, linestyle="--", label=f"bound {layout.bound:g}")
    axes.set(xlabel="|first difference| of the normalised action", ylabel="share above", yscale="log")
    axes.legend(fontsize=8, frameon=False)


def _maxima(axes, demonstrations: Demonstrations) -> None:
    layout = row(demonstrations.env_id).layout
    metrics = batch_metrics([episode.actions for episode in demonstrations.episodes], layout)
    groups = motion_groups(layout)
    bins = np.linspace(0, max(metrics[f"{name}/max_difference"].max() for name in groups) * 1.02 + 1e-9, 50)
    for color, name in zip(_COLORS, groups, strict=False):
        axes.hist(metrics[f"{name}/max_difference"], bins=bins, alpha=0.7, color=color, label=name)
        if name in HUMAN and layout.difference == "acceleration":
            axes.axvspan(*HUMAN[name][0], color=color, alpha=0.15, label=f"{name}, people (LeTO)")
    axes.set(xlabel="largest difference of an episode, mean over dimensions", ylabel="episodes")
    axes.legend(fontsize=8, frameon=False)


def _actions(axes, demonstrations: Demonstrations) -> None:
    layout = row(demonstrations.env_id).layout
    actions = layout.normalize(demonstrations.episodes[0].actions)
    for dimension, name in enumerate(layout.names):
        axes.plot(actions[:, dimension], linewidth=1, label=name)
    axes.set(xlabel="step of the first episode", ylabel="normalised action")
    axes.legend(fontsize=7, frameon=False, ncol=2)
