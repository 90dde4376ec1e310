"""The figures of :mod:`.rc_car_models`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def distribution_figure(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Every network's validation error as a point, by group, with a bar at the mean."""
    figure = Figure(figsize=(5 if len(groups) < 5 else 8, 3.2))
    axes = figure.subplots()
    for place, entries in enumerate(groups.values()):
        errors = np.array([entry["tve"] for entry in entries])
        aside = np.linspace(-0.15, 0.15, len(errors)) if len(errors) > 1 else np.zeros(1)
        axes.plot(place + aside, errors, "o", color="tab:blue", alpha=0.7, ms=5)
        axes.plot([place - 0.3, place + 0.3], [errors.mean()] * 2, color="black", lw=1.5)
    axes.set_xticks(range(len(groups)), [name.replace(", ", ",\n") for name in groups], fontsize=8)
    axes.set(ylabel="TVE", ylim=(0, None))
    axes.grid(axis="y", alpha=0.3)
    return figure


def scatter_figure(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Validation error against the relative loss on the test data, a point per network."""
    figure = Figure(figsize=(5, 3.4))
    axes = figure.subplots()
    for name, entries in groups.items():
        axes.plot([entry["relative"] for entry in entries], [entry["tve"] for entry in entries], "o", label=name)
    axes.set(xlabel="relative test loss", ylabel="TVE", ylim=(0, None))
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def size_figure(means: Mapping[tuple[str, int, int], float], depths: Sequence[int], widths: Sequence[int]) -> Figure:
    """Validation error over depth and width, a panel per activation; colours are shared."""
    activations = list(dict.fromkeys(key[0] for key in means))
    lowest, highest = min(means.values()), max(means.values())
    figure = Figure(figsize=(4.2 * len(activations), 3.4))
    for axes, activation in zip(np.atleast_1d(figure.subplots(1, len(activations))), activations, strict=True):
        values = np.array([[means[activation, depth, width] for width in widths] for depth in depths])
        axes.imshow(values, cmap="viridis_r", vmin=lowest, vmax=highest, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            dark = value > (lowest + highest) / 2
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black")
        axes.set_xticks(range(len(widths)), [str(width) for width in widths])
        axes.set_yticks(range(len(depths)), [str(depth) for depth in depths])
        axes.set(title={"gelu": "GELU", "relu": "ReLU"}[activation], xlabel="width", ylabel="depth")
    figure.tight_layout()
    return figure
