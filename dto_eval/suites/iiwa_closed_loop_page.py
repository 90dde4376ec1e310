"""The page of suite ``iiwa-closed-loop``: tables and the figure from what has been evaluated so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from dto_agents.iiwa.evaluation import Performance
from dto_eval.suites.page import Page

if TYPE_CHECKING:
    from dto_eval.suites.iiwa_closed_loop import Results, Scale

MAIN = ("IVP-ART", "DAgger")
WHAT = {
    "iiwa-qrnet": "QRnet, ensembles, as shipped",
    "iiwa-qrnet-wide": "larger and faded networks, trained on side 2",
    "iiwa-mlp": "plain network, as shipped",
    "iiwa-sac": "soft actor-critic, model-free",
    "iiwa-lqr": "LQR that chooses its time",
    "hold": "holds the arm where it is",
}


def write_page(results: Results, scale: Scale, folder: Path) -> Path:
    """Write what is known; rows appear as their first trial ends."""
    page = Page("Learned closed-loop control of the iiwa with free terminal time", folder)
    _introduce(page, results, scale)
    _write_iterations(
        page, "table1", "IVP-ART and DAgger", results, [name for name in MAIN if name in results.arms], scale
    )
    if all(name in results.arms for name in MAIN):
        page.text(_against_the_paper(results))
    variants = [name for name in results.arms if name not in (*MAIN, "MLP")]
    if variants:
        _write_iterations(page, "table3", "Variants", results, variants, scale)
        page.text(
            "*Trajectories alone* trains on the optimal trajectories as they are, as the paper does; all others move "
            "half of each batch off them. *Union* keeps all trajectories, *replacement* what is left of the old ones "
            "before the newest; the number is the threshold. IVP-ART above is union with 0.3."
        )
    _write_controllers(page, results)
    if results.shipped:
        _write_shipped(page, results)
    if all(name in results.arms for name in MAIN):
        page.figure("cost_ratios", _figure(results), "Share of test starts with a cost ratio of at most that value.")
    return page.write()


def _introduce(page: Page, results: Results, scale: Scale) -> None:
    page.text(
        f"`dto/IiwaReach-v0` with starts in a cube of side 1 rad. Every trial trains on {scale.problems} optimal "
        f"trajectories and what is sampled since, {scale.epochs} epochs in each of {scale.iterations + 1} trainings. "
        f"All are tested on the same {results.tested[1.0]} starts, those of the reset seeds 100000 and up. "
        "A cost ratio is the cost until the goal over the optimum's, capped at 10 where the goal is missed and at 5 "
        "elsewhere. The paper trains 3 trials of 500 trajectories and 7 times 200 epochs, and reports for its "
        "ensemble 98 % success and a cost ratio of 1.17, on constants that its available text has lost, as it has the "
        "numbers of its tables."
    )
    page.text(
        "Beyond the paper's recipe, half of each batch is moved off its trajectory and labelled to first order with "
        "DDP's gains, torque errors count by what they cost at once, batches have 256 samples instead of 1024, and the "
        "learning rate falls from 3e-3 along a cosine."
        + (
            f" Training, sampling and testing took {np.mean(results.minutes):.1f} minutes of a processor a trial."
            if results.minutes
            else ""
        )
    )


def _write_iterations(page: Page, table: str, title: str, results: Results, names: Sequence[str], scale: Scale) -> None:
    page.heading(title)
    columns = ["measure", "sampling", "trials", *map(str, range(scale.iterations + 1)), "ensemble"]
    rows = []
    for measure, value in (("success [%]", _success), ("cost ratio", _ratio)):
        for name in names:
            values = np.array([[value(each) for each in trial] for trial in results.arms[name]])
            rows.append([measure, name, len(values), *(_spread(column) for column in values.T)])
    page.table(table, columns, rows, caption="Mean and standard deviation over trials; columns are iterations.")


def _against_the_paper(results: Results) -> str:
    """What the paper says of the same comparison, beside what came out."""
    ensembles = {name: [trial[-1] for trial in results.arms[name]] for name in MAIN}
    found = {name: _row(name, trials)[2:4] for name, trials in ensembles.items()}
    figures = " and ".join(f"{found[name][0]:.1f} % at {found[name][1]:.3f} ({name})" for name in MAIN)
    ahead = found["IVP-ART"][0] > found["DAgger"][0] and found["IVP-ART"][1] < found["DAgger"][1]
    verdict = "the same order." if ahead else "not that order."
    text = f"The paper has IVP-ART far above DAgger. Here the ensembles reach {figures}: {verdict}"
    plain = [100 * trial[-1].success_rate for trial in results.arms.get("MLP", [])]
    return text + (
        f" The paper's plain network never arrives; here it arrives from {np.mean(plain):.1f} %." if plain else ""
    )


def _write_controllers(page: Page, results: Results) -> None:
    rows = [_row(name, [found]) for name, found in results.references.items()]
    for name in ("IVP-ART", "DAgger", "MLP"):
        last = [trial[-1] for trial in results.arms.get(name, [])]
        what = "plain network" if name == "MLP" else f"QRnet, {name}, ensemble"
        rows += [_row(what, last)] if last else []
    rows += [_row(WHAT["iiwa-sac"], results.shipped["iiwa-sac", 1.0])] if ("iiwa-sac", 1.0) in results.shipped else []
    page.heading("Beside other controllers")
    columns = ["controller", "trials", "success [%]", "cost ratio, mean", "median"]
    page.table("controllers", columns, rows, digits=3)


def _row(name: str, trials: Sequence[Performance]) -> list:
    measures: list[Callable[[Performance], float]] = [_success, _ratio, lambda each: float(np.median(each.ratios))]
    return [name, len(trials), *(float(np.mean([value(each) for each in trials])) for value in measures)]


def _write_shipped(page: Page, results: Results) -> None:
    page.heading("Shipped agents by difficulty")
    rows = []
    for (name, side), found in results.shipped.items():
        rows.append([f"`{name}`", WHAT[name], side, *_row("", found)[1:]])
    columns = ["agent", "what it is", "side [rad]", "members", "success [%]", "cost ratio, mean", "median"]
    tested = ", ".join(f"{count} of side {side:g}" for side, count in results.tested.items())
    page.table("shipped", columns, rows, digits=3, caption=f"Starts: {tested}.")


def _figure(results: Results) -> Figure:
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.add_subplot()
    curves = {
        f"{name}, {which}": [trial[at] for trial in results.arms[name]]
        for name in MAIN
        for which, at in (("iteration 0", 0), ("ensemble", -1))
    }
    for label, found in curves.items():
        ratios = np.sort(np.concatenate([each.ratios for each in found]))
        style = "-" if label.endswith("ensemble") else ":"
        axes.step(ratios, np.arange(1, len(ratios) + 1) / len(ratios), style, where="post", label=label)
    axes.set_xlim(0.99, 1.5)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("cost ratio")
    axes.set_ylabel("share of starts")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def _success(found: Performance) -> float:
    return 100 * found.success_rate


def _ratio(found: Performance) -> float:
    return found.cost_ratio


def _spread(values: np.ndarray) -> str:
    digits = 1 if values.mean() > 12 else 3
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"
