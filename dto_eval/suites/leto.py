"""LeTO's tables of its simulated tasks, beside the paper's: ``dto-eval --suite leto``.

Table III (success on Can and Square, from one skilled operator and from six people), IV to VII (accelerations), VIII
(the limit on accelerations) and XI (time to train). A run has 1,500 episodes, of the sweep 300, fewer with
``--episodes``. Policies are read from ``--weights`` or those shipped; what is missing there, and all that learns from
six people, is trained where ``--data`` brings the demonstrations, and kept in the suite's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.leto_motion import Motion, motion_of, optimal_indicators
from dto_eval.suites.leto_paper import BOUNDS, CELLS, METRICS, MOTION, SUCCESS
from dto_eval.suites.leto_time import write_time
from dto_eval.suites.page import Page, interval
from dto_eval.suites.runs import Done, Planned, Runs
from dto_eval.suites.training import SEED, data_of, trained_policies, weights_of
from dto_eval.suites.verdicts import gain, points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES, SWEEP_EPISODES = 1500, 300
ENVS = {"Can": "dto/Can-v0", "Square": "dto/Square-v0"}
TABLES = {("Can", "ph"): "4", ("Can", "mh"): "5", ("Square", "ph"): "6", ("Square", "mh"): "7"}
ROMAN = {"4": "IV", "5": "V", "6": "VI", "7": "VII"}
Cell = tuple[str, str]


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Attributes:
        label: what the page calls it.
        policy: what is trained.
        filter: what its actions go through; None for nothing.
    """

    label: str
    policy: str
    filter: str | None = None


METHODS: Mapping[str, Method] = {
    "ibc": Method("IBC", "ibc"),
    "lstm-gmm": Method("LSTM-GMM", "lstm-gmm"),
    "lstm-gmm-clipping": Method("LSTM-GMM, clipping", "lstm-gmm", "clipping"),
    "lstm-gmm-projection": Method("LSTM-GMM, exact projection (ours)", "lstm-gmm", "projection"),
    "base": Method("diffusion policy", "diffusion"),
    "clipping": Method("diffusion policy, clipping", "diffusion", "clipping"),
    "projection": Method("diffusion policy, exact projection (ours)", "diffusion", "projection"),
    "leto": Method("LeTO", "leto"),
}
POLICIES = tuple(dict.fromkeys(method.policy for method in METHODS.values()))


def run(options: SuiteOptions) -> Path:
    """Train and evaluate what is missing, and write the page.

    Raises:
        ValueError: fewer than one episode.
    """
    episodes = options.count(EPISODES, "those of every run")
    runs = Runs(options)
    table = {cell: _cell(runs, options, cell, episodes) for cell in CELLS}
    motion = {cell: {name: motion_of(done) for name, done in methods.items()} for cell, methods in table.items()}
    page = Page("LeTO's tables on these tasks", options.out)
    page.text(_introduction(episodes, table))
    page.heading("Table III: success")
    write_success(page, table)
    for cell in CELLS:
        if table[cell]:
            write_motion(page, cell, motion[cell])
    if any(table.values()):
        page.figure("leto", _bars(table, motion), "Success and mean linear acceleration, mean over episodes.")
    page.heading("Table VIII: the limit on accelerations")
    write_bounds(page, options, runs, min(episodes, SWEEP_EPISODES))
    page.heading("Table XI: time to train")
    write_time(page, options)
    return page.write()


def _cell(runs: Runs, options: SuiteOptions, cell: Cell, episodes: int) -> dict[str, Done]:
    """The runs of one task and data set, by method."""
    task, kind = cell
    weights = {policy: weights_of(options, ENVS[task], policy, kind, episodes) for policy in POLICIES}
    done = {}
    for name, method in METHODS.items():
        root = weights[method.policy]
        label = kind if kind == "mh" else "ph" if root else ""
        parts: dict[str, Any] = {"base": method.policy, "filter": method.filter} if method.filter else {}
        found = runs.get(Planned(ENVS[task], name, episodes, weights=root, label=label, **parts))
        if found is not None:
            done[name] = found
    return done


def _introduction(episodes: int, table: Mapping[Cell, Mapping[str, Done]]) -> str:
    missing = [
        f"{METHODS[name].label} on {task} ({kind})"
        for (task, kind), done in table.items()
        for name in METHODS
        if name not in done and METHODS[name].filter is None
    ]
    return (
        f"Every run has {episodes} episodes or more over its training seeds, the numbers are shown, on the same "
        "frozen initial states. **ph**: 200 demonstrations of one skilled operator; **mh**: 300 of six people of three "
        "levels of skill. The paper's policies see two cameras and learned from people; ours see the state and learned "
        "from scripted experts that move like people. Intervals are 95 % two-way cluster bootstrap over seeds and "
        "initial states; the paper's success is the best of its checkpoints over 25 initial states and three seeds, "
        "ours is the last checkpoint's." + (f" Not trained: {', '.join(missing)}." if missing else "")
    )


# ---- Table III ----


def write_success(page: Page, table: Mapping[Cell, Mapping[str, Done]]) -> None:
    """Add success beside the paper's, where the paper's order comes out, and where a figure is another."""
    columns = ["method"]
    for task, kind in CELLS:
        columns += [f"{task} {kind}{part}" for part in ("", ": interval", ": seeds", ": episodes", ": paper")]
    rows = []
    for name, method in METHODS.items():
        cells: list[Any] = [method.label]
        for place, cell in enumerate(CELLS):
            done = table[cell].get(name)
            rate = None if done is None else done.summary["success_rate"]
            seeds = None if done is None else len(done.run.run.protocol.members)
            paper = _plus_minus(*SUCCESS[name][place]) if name in SUCCESS else None
            measured = (None, None) if rate is None else (rate["mean"], interval(rate))
            cells += [*measured, seeds, None if done is None else done.episodes, paper]
        rows.append(cells)
    page.table("table3", columns, rows)
    page.text("\n".join(["The paper's order, by paired intervals:", "", *_orders(table)]))
    page.text("\n".join(["Where a figure is not the paper's:", "", *_disagreements(table)]))


def _orders(table: Mapping[Cell, Mapping[str, Done]]) -> list[str]:
    """Where LeTO's lead over the others that the paper finds comes out."""
    lines = []
    for place, (cell, done) in enumerate(table.items()):
        for other in ("lstm-gmm", "lstm-gmm-clipping", "clipping", "base"):
            if not {"leto", other} <= done.keys():
                continue
            more = gain(done[other], done["leto"])
            published = SUCCESS["leto"][place][0] - SUCCESS[other][place][0]
            lines.append(
                f"- {cell[0]} {cell[1]}: LeTO is {points(more)} from {METHODS[other].label}, the paper "
                f"{100 * published:+.1f}: {_verdict(more, published)}."
            )
    return lines or ["- LeTO and another method have not been run on the same task."]


def _verdict(more: Mapping[str, float], published: float) -> str:
    if more["lo"] <= published <= more["hi"]:
        return "agrees"
    if more["lo"] > 0 or more["hi"] < 0:
        return "the order agrees, not the size" if more["mean"] * published > 0 else "the order is another"
    return "level here"


def _disagreements(table: Mapping[Cell, Mapping[str, Done]]) -> list[str]:
    """A sentence for every success rate of which the paper's is outside our interval."""
    lines = []
    for place, ((task, kind), done) in enumerate(table.items()):
        for name, published in SUCCESS.items():
            if name not in done:
                continue
            rate, paper = done[name].summary["success_rate"], published[place][0]
            if rate["lo"] <= paper <= rate["hi"]:
                continue
            lines.append(
                f"- {METHODS[name].label}, {task} {kind}: {rate['mean']:.3f} {interval(rate)} here, {paper:.3f} there; "
                f"{_reason(name, rate['mean'] > paper)}."
            )
    return lines or ["- Every interval holds the paper's figure."]


def _reason(name: str, higher: bool) -> str:
    """What we know of why; no more than that."""
    if higher:
        return (
            "it sees the object's pose here, which a camera has to be understood for, so that the tasks are easier "
            "for the same method"
        )
    if METHODS[name].filter:
        return "the limit costs more where a policy has learned from commands that jump more often than it allows"
    if name in ("leto", "lstm-gmm"):
        return "ours is small, trains for minutes of one core, and is taken at its last checkpoint, not at its best"
    return "ours is smaller and is taken at its last checkpoint, not at its best"


# ---- Tables IV to VII ----


def write_motion(page: Page, cell: Cell, motion: Mapping[str, Motion]) -> None:
    """Add the accelerations of one task and data set."""
    number = TABLES[cell]
    page.heading(f"Table {ROMAN[number]}: accelerations on {cell[0]} {cell[1]}, in hundredths")
    published = MOTION[cell]
    optimal = optimal_indicators({name: one.mean for name, one in motion.items()})
    rows: list[list[Any]] = []
    for name, one in motion.items():
        cells = [_plus_minus(100 * m, 100 * s, 2) for m, s in zip(one.mean, one.deviation, strict=True)]
        rows.append([METHODS[name].label, "here", *cells, optimal[name], one.episodes])
        if name in published:
            figures, count = published[name]
            rows.append([METHODS[name].label, "paper", *(f"{figure:.2f}" for figure in figures), count, None])
    page.table(
        f"table{number}",
        ["method", "", *(f"avg-{metric}" for metric in METRICS), "num-of-opt", "episodes"],
        rows,
        caption="Differences of successive normalised commands, by magnitude: mean, largest and standard deviation of "
        "an episode, averaged over dimensions and episodes; ± between training seeds. An indicator is optimal within "
        "10 % of the smallest, among all methods of the table.",
    )
    page.text(_motion_sentence(cell, motion))


def _motion_sentence(cell: Cell, motion: Mapping[str, Motion]) -> str:
    if "leto" not in motion or len(motion) < 2:
        return "LeTO cannot be set beside another method here."
    smoothest = min(motion, key=lambda name: motion[name].mean[0])
    published = MOTION[cell]
    first = min(published, key=lambda name: published[name][0][0])
    agrees = smoothest == first
    return (
        f"The smallest mean linear acceleration is that of {METHODS[smoothest].label} here "
        f"({100 * motion[smoothest].mean[0]:.2f}; LeTO {100 * motion['leto'].mean[0]:.2f}) and of "
        f"{METHODS[first].label} in the paper ({published[first][0][0]:.2f}): {'it agrees' if agrees else 'it differs'}"
        + (
            "."
            if agrees
            else ", among methods of which the paper had no exact projection."
            if METHODS[smoothest].filter == "projection"
            else ", on demonstrations that move alike but are not the paper's."
        )
    )


def _bars(table: Mapping[Cell, Mapping[str, Done]], motion: Mapping[Cell, Mapping[str, Motion]]) -> Figure:
    from matplotlib.figure import Figure

    cells = [cell for cell in CELLS if table[cell]]
    figure = Figure(figsize=(2.4 + 2.6 * len(cells), 5.2), layout="constrained")
    axes = figure.subplots(2, len(cells), squeeze=False)
    names = list(METHODS)
    for column, cell in enumerate(cells):
        own = [name for name in names if name in table[cell]]
        success = [table[cell][name].summary["success_rate"]["mean"] for name in own]
        smooth = [motion[cell][name].mean[0] for name in own]
        for line, (values, title) in enumerate(((success, "success"), (smooth, "mean linear acceleration"))):
            ax = axes[line, column]
            ax.barh(range(len(own)), values, color=[f"C{names.index(name)}" for name in own])
            ax.set_yticks(range(len(own)), own)
            ax.invert_yaxis()
            ax.set_title(f"{cell[0]} {cell[1]}: {title}", fontsize=9)
    return figure


# ---- Table VIII ----


def write_bounds(page: Page, options: SuiteOptions, runs: Runs, episodes: int) -> None:
    """Add LeTO trained on Square under every limit; a sentence where there are no demonstrations to train on."""
    data = data_of(options, ENVS["Square"], mixed=False)
    points: dict[float, Done] = {}
    for bound in BOUNDS:
        name = f"leto-bound{bound:g}"
        weights = trained_policies(options, ENVS["Square"], "leto", data, name, (SEED,), {"bound": bound})
        done = runs.get(Planned(ENVS["Square"], "leto", episodes, weights=weights, label=f"bound{bound:g}"))
        if done is not None:
            points[bound] = done
    if not points:
        page.text(
            "Left out: LeTO is trained under every limit, and the demonstrations were not given (`--data Square.hdf5`, "
            "made by `dto-demos collect --env dto/Square-v0`)."
        )
        return
    rows: list[list[Any]] = []
    for bound, done in points.items():
        rate, one = done.summary["success_rate"], motion_of(done)
        success, figures = BOUNDS[bound]
        rows.append([bound, "here", rate["mean"], interval(rate), *(100 * value for value in one.mean), done.episodes])
        rows.append([bound, "paper", success, None, *figures, None])
    page.table(
        "table8",
        ["limit", "", "success", "interval", *(f"avg-{metric}" for metric in METRICS), "episodes"],
        rows,
        digits=2,
        caption="Square, ph, one training seed for each limit; accelerations in hundredths.",
    )
    page.figure("table8", _curves(points), "Success and linear acceleration against the limit, here and in the paper.")
    page.text(_bound_sentence({bound: done.summary["success_rate"] for bound, done in points.items()}))


def _bound_sentence(rates: Mapping[float, Mapping[str, float]]) -> str:
    """Whether success rises and falls again with the limit, as the paper says."""
    best = max(rates, key=lambda bound: rates[bound]["mean"])
    inside = min(rates) < best < max(rates)
    clear = all(rates[best]["lo"] > rates[end]["hi"] for end in (min(rates), max(rates)) if end != best)
    outcome = "comes out" if inside and clear else "may be so, within the intervals" if inside else "does not come out"
    return (
        "The paper finds that success rises and then falls as the limit is loosened. Here the best limit is "
        f"{best:g} ({rates[best]['mean']:.3f} {interval(rates[best])}): it {outcome}."
    )


def _curves(points: Mapping[float, Done]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    bounds = list(points)
    left.plot(bounds, [done.summary["success_rate"]["mean"] for done in points.values()], "o-", label="here")
    left.plot(bounds, [BOUNDS[bound][0] for bound in bounds], "s--", label="paper")
    left.set_ylabel("success")
    for metric, color in (("mean-lin", "C0"), ("max-lin", "C1")):
        place = METRICS.index(metric)
        ours = [motion_of(done).mean[place] for done in points.values()]
        right.plot(bounds, ours, "o-", color=color, label=f"{metric}, here")
        right.plot(bounds, [BOUNDS[bound][1][place] / 100 for bound in bounds], "s--", color=color, label="paper")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("limit on accelerations")
        ax.legend(fontsize=7)
    return figure


def _plus_minus(mean: float, deviation: float, digits: int = 3) -> str:
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if np.isfinite(deviation) and deviation > 0 else "")
