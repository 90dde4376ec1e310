"""Suite ``iiwa-closed-loop``: learned controllers of the iiwa against the optimum.

The paper's Tables I, III and IV and its Figure 2: IVP-ART and DAgger, each several times from other training starts, on
the same held-out test starts; with the plain network, the LQR and replays of the optimum beside them, and the shipped
agents on all difficulties. Data sets, policies and evaluations lie in ``<out>``, each written in one go: an interrupted
suite goes on where it stopped. The page is written anew after every trial of a sampling method, the most important
first, and says how many trials each row has.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from dto_agents import catalogue, zoo
from dto_agents.base import Agent
from dto_agents.iiwa.agents import ENV_ID
from dto_agents.iiwa.datasets import DatasetPlan, collect_dataset, load_dataset
from dto_agents.iiwa.evaluation import Performance, evaluate, feedback_of, replay
from dto_agents.iiwa.ivp import SamplingOptions, run_sampling
from dto_agents.iiwa.lqr import goal_regulator
from dto_agents.iiwa.members import recipe_for
from dto_agents.iiwa.qrnet import Ensemble
from dto_agents.iiwa.trajectory import OptimalTrajectory
from dto_envs.iiwa.batch import Controller
from dto_envs.iiwa.constants import DEFAULT_SIDE, GOAL, SIDES
from dto_eval.suites import SuiteOptions

PROBLEMS = 500
THRESHOLDS = (0.1, 0.3, 1.0)
FIRST_SEED = 42  # of the first trial's weights and batches; later ones follow in steps of 100, as members of a zoo do
SHIPPED = ("iiwa-qrnet", "iiwa-qrnet-wide", "iiwa-mlp", "iiwa-sac", "iiwa-lqr", "hold")
MINUTES = 5.0  # of a processor for a trial of seven trainings at full scale, as long as none has been measured


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        problems: training problems of a trial; a fifth as many validate, twice as many test.
        trials: repetitions of the main comparison from other training starts; one of each variant.
        iterations: M of IVP-ART and DAgger.
        epochs: of each training.
        variants: whether thresholds, replacement and training on trajectories alone are compared (Tables III and IV).
    """

    problems: int
    trials: int
    iterations: int
    epochs: int
    variants: bool


def scale_of(episodes: int | None) -> Scale:
    """The paper's scale for 500 training problems or None; with fewer, shorter trials of the main comparison.

    12 epochs in batches of 256 are a quarter of the steps of the paper's 200 in batches of 1024.
    """
    if episodes is None or episodes >= PROBLEMS:
        return Scale(episodes or PROBLEMS, trials=3, iterations=6, epochs=12, variants=True)
    return Scale(episodes, trials=3, iterations=3, epochs=12, variants=False)


@dataclass
class Results:
    """What is known so far.

    Attributes:
        arms: sampling method -> trial -> performance of policies 0 to M, and last of the ensemble where there is one.
        minutes: CPU minutes of every trial of a sampling method.
        references: controller that needs no training -> its performance.
        shipped: (agent, side) -> performance of each of its trained members.
        tested: test starts by side.
    """

    arms: dict[str, list[list[Performance]]] = field(default_factory=dict)
    minutes: list[float] = field(default_factory=list)
    references: dict[str, Performance] = field(default_factory=dict)
    shipped: dict[tuple[str, float], list[Performance]] = field(default_factory=dict)
    tested: dict[float, int] = field(default_factory=dict)


def run(options: SuiteOptions) -> Path:
    """Collect, train and evaluate what is missing, and write the page.

    Args:
        options: ``episodes`` is the number of training problems, see :func:`scale_of`; ``weights`` the zoo of the
            agents that are evaluated as they are.
    """
    return run_at(scale_of(options.episodes), options)


def run_at(scale: Scale, options: SuiteOptions) -> Path:
    """As :func:`run`, at a scale of one's own."""
    from dto_eval.suites.iiwa_closed_loop_page import write_page

    results = Results()
    test = _test_set(scale, DEFAULT_SIDE, results, options)
    _evaluate_references(results, test, options)
    arms = arms_of(scale)
    plan = schedule(arms, scale)
    for done, (name, trial) in enumerate(plan):
        minutes = np.mean(results.minutes) if results.minutes else MINUTES * scale.problems / PROBLEMS
        left = f"about {minutes * (len(plan) - done):.0f} CPU min left"
        options.console.print(f"{name}, trial {trial + 1}: {done}/{len(plan)} done, {left}")
        _prepare_data(scale, trial, options)
        found = _run_trial(name, arms[name], trial, test, results, options)
        results.arms.setdefault(name, []).append(found)
        write_page(results, scale, options.out)
    _evaluate_shipped(results, {side: _test_set(scale, side, results, options) for side in SIDES}, options)
    return write_page(results, scale, options.out)


def arms_of(scale: Scale) -> dict[str, SamplingOptions]:
    """The sampling methods by name."""
    base = recipe_for("iiwa-qrnet").sampling
    base = replace(base, iterations=scale.iterations, training=replace(base.training, epochs=scale.epochs))
    alone = replace(base, training=replace(base.training, feedback_share=0.0))
    arms = {
        "MLP": replace(recipe_for("iiwa-mlp").sampling, training=replace(base.training, kind="mlp")),
        "IVP-ART": base,
        "DAgger": replace(base, method="dagger"),
    }
    if scale.variants:
        arms["IVP-ART, trajectories alone"] = alone
        arms["DAgger, trajectories alone"] = replace(alone, method="dagger")
        for data in ("replacement", "union"):
            for threshold in THRESHOLDS:
                if (threshold, data) != (base.threshold, base.data):
                    arms[f"IVP-ART, {data}, {threshold:g}"] = replace(base, threshold=threshold, data=data)
    return arms


def schedule(arms: dict[str, SamplingOptions], scale: Scale) -> list[tuple[str, int]]:
    """Names and trials in the order in which they are run: a trial of everything, then the main comparison again."""
    again = [(name, trial) for trial in range(1, scale.trials) for name in list(arms)[:3]]
    first = [(name, 0) for name in arms]
    return first[:5] + again + first[5:]


def _test_set(scale: Scale, side: float, results: Results, options: SuiteOptions) -> list[OptimalTrajectory]:
    plan = DatasetPlan(train=0, validation=0, test=2 * scale.problems, side=side)
    folder = options.out / "data" / f"test{side:g}"
    collect_dataset(plan, folder, workers=options.workers)
    optima = [each for each in load_dataset(folder, "test") if each.solved]
    results.tested[side] = len(optima)
    return optima


def _prepare_data(scale: Scale, trial: int, options: SuiteOptions) -> None:
    plan = DatasetPlan(train=scale.problems, validation=max(1, scale.problems // 5), test=0, trial=trial)
    collect_dataset(plan, options.out / "data" / f"trial{trial}", workers=options.workers)


def _run_trial(
    name: str, arm: SamplingOptions, trial: int, test: list[OptimalTrajectory], results: Results, options: SuiteOptions
) -> list[Performance]:
    """Performance of every policy; the last is the ensemble, where there are iterations."""
    folder = options.out / "runs" / name.replace(", ", "-").replace(" ", "-") / f"trial{trial}"
    last = folder / f"performance-{arm.iterations + (arm.iterations > 0)}.json"
    with nullcontext() if last.exists() else _timed(folder / "effort.json"):
        policies = run_sampling(
            options.out / "data" / f"trial{trial}",
            folder,
            arm,
            FIRST_SEED + 100 * trial,
            workers=options.workers,
            report=lambda line: options.console.print(f"{name}, trial {trial + 1}: {line}"),
        )
        controllers: list[Callable[[np.ndarray], np.ndarray]] = [each.torques for each in policies]
        if arm.iterations:
            controllers.append(Ensemble(policies[1:]).torques)
        found = [
            _evaluated(folder / f"performance-{index}.json", partial(feedback_of, controller), test, options)
            for index, controller in enumerate(controllers)
        ]
    if arm.iterations:
        results.minutes.append(_seconds(folder / "effort.json") / 60)
    return found


@contextmanager
def _timed(path: Path) -> Iterator[None]:
    """Add the processor time of the block to what the file says of earlier, interrupted ones."""
    began, before = _processor_time(), _seconds(path)
    try:
        yield
    finally:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cpu_s": before + _processor_time() - began}), encoding="utf-8")


def _seconds(path: Path) -> float:
    return json.loads(path.read_text(encoding="utf-8"))["cpu_s"] if path.exists() else 0.0


def _processor_time() -> float:
    """Of this process and its workers [s]."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _evaluated(
    path: Path, controller: Callable[[], Controller], test: list[OptimalTrajectory], options: SuiteOptions
) -> Performance:
    """Evaluate once; what is in the file afterwards."""
    if not path.exists():
        found = evaluate(controller(), test, threads=options.workers)
        content = {"success": found.success.tolist(), "ratios": found.ratios.tolist()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".partial").write_text(json.dumps(content), encoding="utf-8")
        path.with_suffix(".partial").replace(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    return Performance(np.array(content["success"], bool), np.array(content["ratios"]))


def _evaluate_references(results: Results, test: list[OptimalTrajectory], options: SuiteOptions) -> None:
    def true_time(states: np.ndarray, times: np.ndarray) -> np.ndarray:
        left = np.array([each.duration for each in test]) - times
        return goal_regulator().torque(states, np.maximum(left, 0.0))

    controllers: dict[str, Callable[[], Controller]] = {
        "optimum replayed with DDP's gains": lambda: replay(test, feedback=True),
        "optimum replayed": lambda: replay(test, feedback=False),
        "LQR with the optimal time": lambda: true_time,
    }
    for name, controller in controllers.items():
        path = options.out / "runs" / "references" / f"{name.replace(' ', '-')}.json"
        results.references[name] = _evaluated(path, controller, test, options)


def _evaluate_shipped(results: Results, tests: dict[float, list[OptimalTrajectory]], options: SuiteOptions) -> None:
    """All members of the shipped agents on all difficulties; a file belongs to a member's weights.

    A zoo of one's own need not have all agents.
    """
    for name in SHIPPED:
        try:
            members = catalogue.members(name, ENV_ID, weights=options.weights)
        except zoo.MissingWeightsError:
            continue
        for member in members:
            mark = "-".join([member.name, *(digest[:8] for digest in member.weights.values())])
            make = partial(catalogue.make_agent, name, ENV_ID, member.name, weights=options.weights)
            for side, test in tests.items():
                path = options.out / "runs" / "shipped" / name / f"{mark}-side{side:g}.json"
                found = _evaluated(path, lambda make=make: _controller_of(make()), test, options)
                results.shipped.setdefault((name, side), []).append(found)


def _controller_of(agent: Agent) -> Controller:
    """An agent as a controller: it is shown what the environment would show."""
    begun = False

    def controller(states: np.ndarray, times: np.ndarray) -> np.ndarray:
        nonlocal begun
        if not begun:
            agent.reset(list(range(len(states))))
            begun = True
        goals = np.tile(GOAL, (len(states), 1))
        return agent.act(np.hstack([states, goals, times[:, None]])).astype(np.float64)

    return controller
