"""Where the suite diffog turns a knob: Figures 10 and 13, Table X. Layers are trained where the paper does.

One training seed and 300 episodes a point, as many as ``--episodes`` where that is fewer; the task is Square, whose
demonstrations come with ``--data``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.diffog_phases import write_phases
from dto_eval.suites.page import Page, interval
from dto_eval.suites.runs import Done, Planned, Runs
from dto_eval.suites.training import data_of, trained_filter
from dto_eval.suites.verdicts import gain, lead, level, loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SQUARE = "dto/Square-v0"
EPISODES = 300
ALPHAS = (0.0, 1.0, 4.0, 8.0, 16.0)
BOUNDS = (0.05, 0.1, 0.2, 0.3)
RESIDUALS = (0.01, 0.1, 1.0, 4.0, 16.0)
CHOSEN = {"alpha": 4.0, "bound": 0.1}  # what the paper chooses by Figure 10
VELOCITY = 0.5
# Table X: method -> success, largest velocity, largest acceleration.
PAPER_VELOCITY = {
    "base": (0.91, 0.72, 0.38),
    "clipping": (0.78, 0.63, 0.09),
    "penalty": (0.76, 0.66, 0.09),
    "diffog": (0.87, 0.65, 0.09),
    "diffog with the velocity limit": (0.87, 0.39, 0.09),
}


def write_sweeps(page: Page, options: SuiteOptions, runs: Runs, episodes: int) -> None:
    """Add the sections; those that need training are left out, with the reason, where there is no data."""
    whole, episodes = episodes, min(episodes, EPISODES)
    write_phases(page, runs, episodes, whole)
    if data_of(options, SQUARE) is None:
        page.text(
            "Figures 10 and 13 and Table X are left out: their layers are trained on Square's demonstrations, which "
            "were not given (`--data Square.hdf5`, made by `dto-demos collect --env dto/Square-v0`)."
        )
        return
    page.heading("Figure 10: smoothing weight and bound")
    swept = {name: list(_swept(options, runs, name, episodes)) for name in ("alpha", "bound")}
    _sweep_table(page, "figure10", swept)
    page.figure("figure10", _lines(swept), "Success and smoothness against smoothing weight and bound, Square.")
    page.text(_knobs(swept))
    page.heading("Figure 13: a residual policy with a penalty on differences")
    residual = {"alpha": list(_residual(options, runs, episodes))}
    _sweep_table(page, "figure13", residual)
    page.text(_residual_sentence(runs, residual["alpha"], whole))
    page.heading("Table X: a limit on velocity too")
    _velocity(page, options, runs, episodes, whole)


# ---- Figures 10 and 13 ----

Point = tuple[str, float, Done]  # method, value of what is swept, run


def _swept(options: SuiteOptions, runs: Runs, name: str, episodes: int) -> Iterator[Point]:
    """DiffOG trained with every value of ``name``; beside it tracking, which needs no training."""
    for value in ALPHAS if name == "alpha" else BOUNDS:
        for method in ("diffog", "tracking"):
            weights = _trained(options, method, {name: value}) if method == "diffog" else None
            done = runs.get(Planned(SQUARE, method, episodes, {name: value}, weights, "one-seed" if weights else ""))
            if done is not None:
                yield method, value, done


def _residual(options: SuiteOptions, runs: Runs, episodes: int) -> Iterator[Point]:
    for alpha in RESIDUALS:
        weights = _trained(options, "residual", {"alpha": alpha})
        done = runs.get(Planned(SQUARE, "residual", episodes, {}, weights, f"alpha{alpha:g}"))
        if done is not None:
            yield "residual", alpha, done


def _trained(options: SuiteOptions, agent: str, changes: Mapping[str, float]) -> Any:
    data = data_of(options, SQUARE)
    assert data is not None
    return trained_filter(options, SQUARE, agent, data, changes)


def _sweep_table(page: Page, name: str, swept: Mapping[str, Sequence[Point]]) -> None:
    columns = ["swept", "value", "method", "success", "interval", "max of differences", "std of differences", "steps"]
    rows = []
    for parameter, points in swept.items():
        for method, value, done in points:
            summary = done.summary
            success = summary["success_rate"]
            figures = [summary[key]["mean"] for key in ("max_difference", "std_difference", "steps")]
            rows.append([parameter, value, method, success["mean"], interval(success), *figures, done.episodes])
    page.table(name, [*columns, "episodes"], rows, digits=4)


def _knobs(swept: Mapping[str, Sequence[Point]]) -> str:
    """What the paper reads off Figure 10, of DiffOG: too much weight and too tight a bound both cost success."""
    lines = ["The paper finds that too large a weight costs a little success and too tight a bound more."]
    for name, extreme in (("alpha", ALPHAS[-1]), ("bound", BOUNDS[0])):
        own = {value: done for method, value, done in swept[name] if method == "diffog"}
        if not {extreme, CHOSEN[name]} <= own.keys():
            continue
        first, second = own[CHOSEN[name]], own[extreme]
        calmer = gain(first, second, "std_difference")
        lines.append(
            f"DiffOG, {name} {extreme:g} instead of {CHOSEN[name]:g}: the loss {loss(gain(first, second))}, the "
            f"standard deviation of differences changes by {calmer['mean']:+.4f} {interval(calmer, 4)}."
        )
    return " ".join(lines)


def _residual_sentence(runs: Runs, points: Sequence[Point], whole: int) -> str:
    """What the paper reads off Figure 13: a small weight costs nothing, a large one much, none is as calm as DiffOG."""
    base, diffog = (runs.get(Planned(SQUARE, name, whole)) for name in ("base", "diffog"))
    if base is None or diffog is None or not points:
        return "The base policy, DiffOG and a residual have not all been run."
    first, last = points[0], points[-1]
    calmest = min((done for _, _, done in points), key=lambda done: done.summary["std_difference"]["mean"])
    rougher = gain(diffog, calmest, "std_difference")
    return (
        f"The paper finds success with the smallest weight comparable to the base policy's: here it "
        f"{level(gain(base, first[2]))}. It finds success to drop as the weight grows: from {first[1]:g} to "
        f"{last[1]:g} that {loss(gain(first[2], last[2]))}. It finds no residual as smooth as DiffOG: the smoothest "
        f"has {rougher['mean']:+.4f} {interval(rougher, 4)} more standard deviation of differences, it "
        f"{'comes out' if rougher['lo'] > 0 else 'does not come out'}."
    )


def _lines(swept: Mapping[str, Sequence[Point]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col")
    for column, (parameter, points) in enumerate(swept.items()):
        for method in dict.fromkeys(method for method, _, _ in points):
            own = [(value, done.summary) for name, value, done in points if name == method]
            values = [value for value, _ in own]
            for line, key in enumerate(("success_rate", "std_difference")):
                axes[line, column].plot(values, [summary[key]["mean"] for _, summary in own], "o-", label=method)
        axes[0, column].set_ylabel("success")
        axes[1, column].set_ylabel("std of differences")
        axes[1, column].set_xlabel({"alpha": "smoothing weight", "bound": "bound of the differences"}[parameter])
    axes[0, 0].legend()
    return figure


# ---- Table X ----


def _velocity(page: Page, options: SuiteOptions, runs: Runs, episodes: int, whole: int) -> None:
    """The methods without the limit are the main tables' runs, of ``whole`` episodes."""
    weights = _trained(options, "diffog", {"velocity": VELOCITY})
    planned = {name: Planned(SQUARE, name, whole) for name in ("base", "clipping", "penalty", "diffog")}
    planned["diffog with the velocity limit"] = Planned(
        SQUARE, "diffog", episodes, {"velocity": VELOCITY}, weights, "one-seed"
    )
    rows, found = [], {}
    for name, plan in planned.items():
        done = runs.get(plan)
        if done is not None:
            found[name] = done
            figures = [done.summary["success_rate"]["mean"], _largest_velocity(done)]
            rows.append([name, *figures, done.summary["max_difference"]["mean"], *PAPER_VELOCITY[name], done.episodes])
    columns = ["method", "success", "max velocity", "max acceleration", "success: paper", "max velocity: paper"]
    page.table(
        "table10",
        [*columns, "max acceleration: paper", "episodes"],
        rows,
        caption=f"Normalised; the limit on velocity is {VELOCITY:g}. Means over episodes of the largest values.",
    )
    limited = found.pop("diffog with the velocity limit", None)
    if limited is not None:
        lines = [
            f"above {name} {lead(gain(found[name], limited))}" for name in ("clipping", "penalty") if name in found
        ]
        same = (
            f" that the limit costs DiffOG nothing (here it {level(gain(found['diffog'], limited))})"
            if "diffog" in found
            else ""
        )
        page.text(f"The paper finds{same} and DiffOG with the limit above filters without: {'; '.join(lines)}.")


def _largest_velocity(done: Done) -> float:
    """Mean over episodes and trajectory dimensions of the largest normalised command."""
    from dto_eval.settings import layout_of

    layout = layout_of(done.run.run.protocol)
    trajectory = list(layout.trajectory)
    largest = [
        np.abs(layout.normalize(entry.actions)[:, trajectory]).max(axis=0) for entry in done.run.actions.values()
    ]
    return float(np.mean(largest))
