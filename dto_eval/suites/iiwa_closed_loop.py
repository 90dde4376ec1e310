"""Suite ``iiwa-closed-loop``: learned controllers of the iiwa against the optimum.

The paper's Tables I, III and IV and its Figure 2: IVP-ART and DAgger, each several times from other training starts, on
the same held-out test starts; with the plain network, the LQR and replays of the optimum beside them. Data sets,
policies and evaluations lie in ``<out>``, each written in one go: an interrupted suite goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dto_agents.iiwa.datasets import DatasetPlan, collect_dataset, load_dataset
from dto_agents.iiwa.evaluation import Performance, evaluate, feedback_of, replay
from dto_agents.iiwa.ivp import SamplingOptions, run_sampling
from dto_agents.iiwa.lqr import goal_regulator
from dto_agents.iiwa.members import recipe_for
from dto_agents.iiwa.qrnet import Ensemble
from dto_agents.iiwa.trajectory import OptimalTrajectory
from dto_envs.iiwa.batch import Controller
from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page

PROBLEMS = 500
THRESHOLDS = (0.1, 0.3, 1.0)


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        problems: training problems of a trial; a fifth as many validate, twice as many test.
        trials: repetitions from other training starts.
        iterations: M of IVP-ART and DAgger.
        epochs: of each training.
        variants: whether thresholds and replacement are compared (Tables III and IV).
    """

    problems: int
    trials: int
    iterations: int
    epochs: int
    variants: bool


def scale_of(episodes: int | None) -> Scale:
    """The paper's scale for 500 training problems or None; with fewer, one shorter trial of the main comparison.

    50 epochs in batches of 256 are as many steps as the paper's 200 in batches of 1024.
    """
    if episodes is None or episodes >= PROBLEMS:
        return Scale(episodes or PROBLEMS, trials=3, iterations=6, epochs=50, variants=True)
    return Scale(episodes, trials=1, iterations=3, epochs=24, variants=False)


def run(options: SuiteOptions) -> Path:
    """Collect, train and evaluate what is missing, and write the page.

    Args:
        options: ``episodes`` is the number of training problems, see :func:`scale_of`.
    """
    return run_at(scale_of(options.episodes), options)


def run_at(scale: Scale, options: SuiteOptions) -> Path:
    """As :func:`run`, at a scale of one's own."""
    for trial in range(scale.trials):
        plan = DatasetPlan(
            train=scale.problems,
            validation=max(1, scale.problems // 5),
            test=2 * scale.problems if trial == 0 else 0,
            trial=trial,
        )
        collect_dataset(plan, options.out / "data" / f"trial{trial}", workers=options.workers)
    test = [each for each in load_dataset(options.out / "data" / "trial0", "test") if each.solved]
    arms = _arms(scale)
    results = {name: _run_arm(name, arm, scale, test, options) for name, arm in arms.items()}
    page = Page("Learned closed-loop control of the iiwa with free terminal time", options.out)
    _introduce(page, scale, len(test))
    _write_iterations(page, "table1", "IVP-ART and DAgger", results, ["IVP-ART", "DAgger"], scale)
    if scale.variants:
        _write_iterations(page, "table3", "Thresholds, union and replacement", results, list(arms)[1:], scale)
    _write_references(page, test, results, scale, options)
    page.figure("cost_ratios", _figure(results), "Share of test starts with a cost ratio of at most that value.")
    return page.write()


def _arms(scale: Scale) -> dict[str, SamplingOptions]:
    base = recipe_for("iiwa-qrnet").sampling
    base = replace(base, iterations=scale.iterations, training=replace(base.training, epochs=scale.epochs))
    plain = replace(recipe_for("iiwa-mlp").sampling, training=replace(base.training, kind="mlp"))
    arms = {"MLP": plain, "IVP-ART": base, "DAgger": replace(base, method="dagger")}
    if scale.variants:
        for threshold in THRESHOLDS:
            for data in ("union", "replacement"):
                if (threshold, data) != (base.threshold, base.data):
                    arms[f"IVP-ART {data} {threshold:g}"] = replace(base, threshold=threshold, data=data)
    return arms


def _run_arm(
    name: str, arm: SamplingOptions, scale: Scale, test: list[OptimalTrajectory], options: SuiteOptions
) -> list[list[Performance]]:
    """Performances by trial and policy; the last policy is the ensemble, where there are iterations."""
    trials = []
    for trial in range(scale.trials):
        folder = options.out / "runs" / name.replace(" ", "-") / f"trial{trial}"
        policies = run_sampling(
            options.out / "data" / f"trial{trial}",
            folder,
            arm,
            trial,
            workers=options.workers,
            report=lambda line, where=f"{name}, trial {trial}": options.console.print(f"{where}: {line}"),
        )
        controllers: list[Callable[[np.ndarray], np.ndarray]] = [each.torques for each in policies]
        if arm.iterations:
            controllers.append(Ensemble(policies[1:]).torques)
        trials.append(
            [
                _evaluated(folder / f"performance-{index}.json", feedback_of(controller), test, options)
                for index, controller in enumerate(controllers)
            ]
        )
    return trials


def _evaluated(path: Path, controller: Controller, test: list[OptimalTrajectory], options: SuiteOptions) -> Performance:
    """Evaluate once; what is in the file afterwards."""
    if not path.exists():
        found = evaluate(controller, test, threads=options.workers)
        content = {"success": found.success.tolist(), "ratios": found.ratios.tolist()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".partial").write_text(json.dumps(content), encoding="utf-8")
        path.with_suffix(".partial").replace(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    return Performance(np.array(content["success"], bool), np.array(content["ratios"]))


def _introduce(page: Page, scale: Scale, tested: int) -> None:
    page.text(
        f"`dto/IiwaReach-v0` with starts in a cube of side 1 rad. Every trial trains on {scale.problems} optimal "
        f"trajectories and what is sampled since, {scale.epochs} epochs in each of {scale.iterations + 1} trainings; "
        f"trials: {scale.trials}. All are tested on the same {tested} starts, those of the reset seeds 100000 and up. "
        "A cost ratio is the cost until the goal over the optimum's, capped at 10 where the goal is missed and at 5 "
        "elsewhere. The paper trains 3 trials of 500 trajectories and 7 times 200 epochs, and reports for its "
        "ensemble 98 % success and a cost ratio of 1.17, on constants that its available text has lost."
    )
    page.text(
        "Beyond the paper's recipe, half of each batch is moved off its trajectory and labelled to first order with "
        "DDP's gains, torque errors count by what they cost at once, batches have 256 samples instead of 1024, and the "
        "learning rate falls from 3e-3 along a cosine."
    )


def _write_iterations(
    page: Page, table: str, title: str, results: dict[str, list[list[Performance]]], names: list[str], scale: Scale
) -> None:
    page.heading(title)
    columns = ["measure", "sampling", *map(str, range(scale.iterations + 1)), "ensemble"]
    rows = []
    for measure, value in (("success [%]", _success), ("cost ratio", _ratio)):
        for name in names:
            values = np.array([[value(each) for each in trial] for trial in results[name]])
            rows.append([measure, name, *(_spread(column) for column in values.T)])
    page.table(table, columns, rows, caption="Mean and standard deviation over trials; columns are iterations.")


def _write_references(
    page: Page,
    test: list[OptimalTrajectory],
    results: dict[str, list[list[Performance]]],
    scale: Scale,
    options: SuiteOptions,
) -> None:
    def true_time(states: np.ndarray, times: np.ndarray) -> np.ndarray:
        left = np.array([each.duration for each in test]) - times
        return goal_regulator().torque(states, np.maximum(left, 0.0))

    controllers: dict[str, Controller] = {
        "optimum replayed": replay(test, feedback=False),
        "optimum replayed with DDP's gains": replay(test, feedback=True),
        "LQR with the optimal time": true_time,
    }
    rows = []
    for name, controller in controllers.items():
        path = options.out / "runs" / "references" / f"{name.replace(' ', '-')}.json"
        found = _evaluated(path, controller, test, options)
        rows.append([name, 100 * found.success_rate, found.cost_ratio, float(np.median(found.ratios))])
    for name in ("MLP", "DAgger", "IVP-ART"):
        last = [trial[-1] for trial in results[name]]
        what = "plain network" if name == "MLP" else f"QRnet, {name}, ensemble"
        medians = float(np.mean([np.median(each.ratios) for each in last]))
        rows.append([what, *(float(np.mean([value(each) for each in last])) for value in (_success, _ratio)), medians])
    page.heading("Beside other controllers")
    page.table("controllers", ["controller", "success [%]", "cost ratio, mean", "median"], rows, digits=2)


def _figure(results: dict[str, list[list[Performance]]]) -> Figure:
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.add_subplot()
    curves = {
        f"{name}, {which}": [trial[at] for trial in results[name]]
        for name in ("IVP-ART", "DAgger")
        for which, at in (("iteration 0", 0), ("ensemble", -1))
    }
    for label, found in curves.items():
        ratios = np.sort(np.concatenate([each.ratios for each in found]))
        style = "-" if label.endswith("ensemble") else ":"
        axes.step(ratios, np.arange(1, len(ratios) + 1) / len(ratios), style, where="post", label=label)
    axes.set_xlim(0.95, 3.0)
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
    digits = 1 if values.mean() > 12 else 2
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"
