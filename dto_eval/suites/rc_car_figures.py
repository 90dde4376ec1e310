"""The pictures of the suite rc-car."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_envs.rc_car.scenarios import CAN_RADIUS, CAR_LENGTH, CAR_WIDTH, SCENARIOS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dto_agents.rc_car.laps import Laps
    from dto_envs.rc_car.tracks import Track
    from dto_eval.suites.rc_car_drives import Driven

PLANNED, EXECUTED, TARGET = "tab:orange", "tab:green", "tab:purple"


def plans(episodes: Sequence[tuple[Driven, np.ndarray]]) -> Figure:
    """Planned and executed paths of every manoeuvre, the cars of the first episode drawn along them."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure(figsize=(13, 4.2))
    for index, (name, scenario) in enumerate(SCENARIOS.items()):
        axes = figure.add_subplot(1, 3, index + 1)
        chosen = [(entry, planned) for entry, planned in episodes if entry.task.manoeuvre == name]
        for entry, planned in chosen:
            axes.plot(planned[:, 0], planned[:, 1], color=PLANNED, linewidth=0.6, alpha=0.5)
            axes.plot(entry.states[:, 0], entry.states[:, 1], color=EXECUTED, linewidth=0.6, alpha=0.5)
        if chosen:
            entry, planned = chosen[0]
            for pose in planned[::5, :3]:
                _car(axes, pose, PLANNED)
            for pose in entry.states[::5, :3]:
                _car(axes, pose, EXECUTED)
        for goal in (scenario.way_point, scenario.target):
            _car(axes, np.array(goal.pose), TARGET, width=1.8)
        for can in scenario.cans:
            axes.add_patch(Circle(can, CAN_RADIUS, color="tab:red"))
        axes.set(aspect="equal", title=name, xlabel="x [m]", ylabel="y [m]" if index == 0 else "")
    figure.tight_layout()
    return figure


def _car(axes: Any, pose: np.ndarray, color: str, width: float = 0.8) -> None:
    """The car's outline at a pose (3,), a line across its nose."""
    half_length, half_width = CAR_LENGTH / 2, CAR_WIDTH / 2
    corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1), (0.6, 1), (0.6, -1)]) * [half_length, half_width]
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    outline = corners @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]
    axes.plot(outline[:, 0], outline[:, 1], color=color, linewidth=width)


def activations(shown: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Throttle, steering and gradients with each activation, of the first start of every manoeuvre."""
    from matplotlib.figure import Figure

    manoeuvres = list(dict.fromkeys(manoeuvre for manoeuvre, _ in shown))
    names = list(dict.fromkeys(name for _, name in shown))
    figure = Figure(figsize=(13, 9))
    for column, manoeuvre in enumerate(manoeuvres):
        for line in range(4):
            axes = figure.add_subplot(4, len(manoeuvres), line * len(manoeuvres) + column + 1)
            for name, color in zip(names, ("tab:blue", "tab:red"), strict=True):
                controls, gradient = shown[manoeuvre, name]
                values = (controls, gradient)[line // 2][:, line % 2]
                axes.plot(0.05 * np.arange(len(values)), values, color=color, linewidth=1, label=name)
            if line == 0:
                axes.set_title(manoeuvre)
                axes.legend(frameon=False)
            if column == 0:
                axes.set_ylabel(("throttle", "steering", "gradient, throttle", "gradient, steering")[line])
            if line == 3:
                axes.set_xlabel("time [s]")
    figure.tight_layout()
    return figure


def laps(driven: Sequence[tuple[Track, float, Laps]]) -> Figure:
    """Paths on the tracks, coloured by speed."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2 * ((len(driven) + 1) // 2)), layout="constrained")
    for index, (track, speed, lap) in enumerate(driven):
        axes = figure.add_subplot((len(driven) + 1) // 2, 2, index + 1)
        progress = np.linspace(0, track.length, 400)
        for offset, style in ((0.0, ":"), (track.width / 2, "-"), (-track.width / 2, "-")):
            line = track.poses(progress, offset)
            axes.plot(line[:, 0], line[:, 1], style, color="0.6", linewidth=1)
        points = lap.states[:, :2]
        paths = np.stack([points[:-1], points[1:]], axis=1)
        speeds = np.hypot(*lap.states[1:, 3:5].T)
        collection = LineCollection(list(paths), array=speeds, cmap="viridis", linewidths=1.2)
        axes.add_collection(collection)
        figure.colorbar(collection, ax=axes, label="speed [m/s]")
        axes.set(aspect="equal", title=f"{track.name}, wanted {speed} m/s", xlabel="x [m]", ylabel="y [m]")
    return figure
