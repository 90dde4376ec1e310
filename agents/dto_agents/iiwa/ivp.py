"""IVP-ART and DAgger: train, run the controller, solve again from where it strays, and train on that too.

IVP-ART (the paper's Section III-C) runs the newest controller from the training starts and takes from each closed loop
the first state that is further than a threshold from where the optimum would be at that time; the optimal trajectories
from these states join the data. DAgger takes the state at a fixed share of the optimal time instead, iteration m of M
at m / (M + 1). After M iterations the policies 1 to M are averaged.

A run is a folder: ``policy-0.safetensors`` to ``policy-M.safetensors`` and ``labels-0.safetensors`` onwards, each
written in one go, so that a run that was killed goes on from the last file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dto_agents.iiwa.datasets import Task, load_dataset, load_plan, read_trajectories, solve_all, write_trajectories
from dto_agents.iiwa.evaluation import SPAN, feedback_of
from dto_agents.iiwa.qrnet import Policy
from dto_agents.iiwa.training import Samples, TrainingOptions, join, samples_of, train_policy
from dto_agents.iiwa.trajectory import OptimalTrajectory
from dto_agents.iiwa.weights import load_policy, save_policy
from dto_agents.training import TrainingError
from dto_envs.iiwa.batch import simulate
from dto_envs.iiwa.constants import CONTROL_PERIOD
from dto_envs.iiwa.model import goal_state

SHORTEST_GUESS = 0.1  # s, the least duration with which the search for a resampled problem begins


@dataclass(frozen=True)
class SamplingOptions:
    """How data are added.

    Attributes:
        method: ``ivp-art`` or ``dagger``.
        data: ``union`` keeps all trajectories; ``replacement`` keeps, for each start, the optimum up to the newest
            resampling time and the newest trajectory from there.
        threshold: distance from the optimum, in rad and rad/s alike, at which a closed loop has strayed. The paper's
            three values are lost; ours are 0.1, 0.3 and 1.
        iterations: M.
        training: how networks are trained in each iteration.
    """

    method: Literal["ivp-art", "dagger"] = "ivp-art"
    data: Literal["union", "replacement"] = "union"
    threshold: float = 0.3
    iterations: int = 6
    training: TrainingOptions = field(default_factory=TrainingOptions)

    def __post_init__(self) -> None:
        """Check numbers."""
        if self.iterations < 0 or not self.threshold > 0:
            raise ValueError(f"iterations are 0 or more and the threshold is positive, got {self}")


@dataclass(frozen=True, eq=False)
class Resampled:
    """New trajectories, with the training optimum and the step from which each branches off.

    Attributes:
        optima: indices of the optima among the solved training trajectories.
        steps: control steps after which the closed loops were in the new trajectories' first states.
        trajectories: solved or not.
    """

    optima: np.ndarray
    steps: np.ndarray
    trajectories: list[OptimalTrajectory]

    @property
    def solved(self) -> int:
        """How many could be solved."""
        return sum(each.solved for each in self.trajectories)


def run_sampling(
    data: Path,
    folder: Path,
    options: SamplingOptions,
    seed: int,
    *,
    workers: int = 1,
    report: Callable[[str], None] = lambda line: None,
) -> list[Policy]:
    """Run all iterations, or what is left of them.

    Args:
        data: a data set of :mod:`dto_agents.iiwa.datasets` with training and validation problems.
        folder: of the run.
        options: what to do.
        seed: of weights and batches; iteration m trains with 1000 seed + m.
        workers: processes that solve.
        report: called with a line as things end.

    Returns:
        Policies 0 to M; the ensemble leaves out the first.

    Raises:
        TrainingError: the folder holds another run, or a loss is not finite.
    """
    _claim(data, folder, options, seed)
    optima = [each for each in load_dataset(data, "train") if each.solved]
    validation = samples_of(load_dataset(data, "validation"))
    policies: list[Policy] = []
    found: list[Resampled] = []
    for iteration in range(options.iterations + 1):
        path = folder / f"policy-{iteration}.safetensors"
        if not path.exists():
            train = gather(optima, found, options)
            report(f"iteration {iteration}: training on {len(train)} points")
            trained = train_policy(train, validation, options.training, 1000 * seed + iteration)
            notes = {"control_error": trained.control_error, "time_error_s": trained.time_error, "points": len(train)}
            save_policy(path, trained.policy, notes)
            report(f"iteration {iteration}: errors {trained.control_error:.3f} and {trained.time_error:.4f} s")
        policies.append(load_policy(path)[0])
        if iteration < options.iterations:
            found.append(_labels(folder, iteration, policies[-1], optima, options, workers))
            report(f"iteration {iteration}: {found[-1].solved} of {len(found[-1].trajectories)} solved again")
    return policies


def gather(optima: Sequence[OptimalTrajectory], found: Sequence[Resampled], options: SamplingOptions) -> Samples:
    """The points to train on: of the optima, and of what has been found since."""
    if options.data == "union":
        return join([samples_of(optima), *(samples_of(each.trajectories) for each in found if each.solved)])
    newest: dict[int, tuple[int, OptimalTrajectory]] = {}
    for each in found:
        branches = zip(each.optima, each.steps, each.trajectories, strict=True)
        newest |= {int(index): (int(step), new) for index, step, new in branches if new.solved}
    heads = [head(old, newest[index][0]) if index in newest else old for index, old in enumerate(optima)]
    return samples_of([*(each for each in heads if len(each.torques)), *(new for _, new in newest.values())])


def head(optimum: OptimalTrajectory, steps: int) -> OptimalTrajectory:
    """The first ``steps`` steps of an optimum, whose remaining times are still those of the whole."""
    cut = {name: getattr(optimum, name)[: steps + 1] for name in ("times", "states")}
    cut |= {name: getattr(optimum, name)[:steps] for name in ("torques", "gains", "time_slopes")}
    return replace(optimum, **cut)


def resampling_points(
    policy: Policy, optima: Sequence[OptimalTrajectory], options: SamplingOptions, iteration: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run the policy from the start of every optimum and choose where to solve again.

    Returns:
        Indices of optima (R,), steps (R,) and states (R, 14); a loop that never strays, or that has reached the goal
        before DAgger's time, gives none.
    """
    starts = np.stack([each.states[0] for each in optima])
    steps = round(SPAN * max(each.duration for each in optima) / CONTROL_PERIOD)
    loops = simulate(starts, feedback_of(policy.torques), steps, record=True)
    assert loops.states is not None
    if options.method == "dagger":
        share = (iteration + 1) / (options.iterations + 1)
        chosen = np.array([round(share * len(each.torques)) for each in optima])
    else:
        chosen = np.array(
            [first_departure(loops.states[row], each, options.threshold) for row, each in enumerate(optima)]
        )
    states = loops.states[np.arange(len(optima)), np.maximum(chosen, 0)]
    rows = np.flatnonzero((chosen >= 0) & np.isfinite(states).all(axis=1))
    return rows, chosen[rows], states[rows]


def first_departure(states: np.ndarray, optimum: OptimalTrajectory, threshold: float) -> int:
    """First step at which a loop (S + 1, 14), NaN after its end, is further than ``threshold`` from the optimum; or -1.

    After the optimum's end the loop is compared with the goal.
    """
    reference = np.tile(goal_state(), (len(states), 1))
    known = min(len(optimum.states), len(states))
    reference[:known] = optimum.states[:known]
    strayed = np.linalg.norm(states - reference, axis=1) > threshold
    return int(strayed.argmax()) if strayed.any() else -1


def described(options: SamplingOptions) -> dict[str, Any]:
    """The options as JSON can hold them; no cut-off is null."""
    content = asdict(options)
    blend = content["training"]["blend"].values()
    content["training"]["blend"] = [None if math.isinf(value) else value for value in blend]
    return content


def _labels(
    folder: Path,
    iteration: int,
    policy: Policy,
    optima: Sequence[OptimalTrajectory],
    options: SamplingOptions,
    workers: int,
) -> Resampled:
    path, places = folder / f"labels-{iteration}.safetensors", folder / f"places-{iteration}.json"
    if not path.exists():
        rows, steps, states = resampling_points(policy, optima, options, iteration)
        tasks = [_task(optima[row], int(step), state) for row, step, state in zip(rows, steps, states, strict=True)]
        places.write_text(json.dumps({"optima": rows.tolist(), "steps": steps.tolist()}), encoding="utf-8")
        write_trajectories(path, solve_all(tasks, workers=workers))
    known = json.loads(places.read_text(encoding="utf-8"))
    return Resampled(np.array(known["optima"], int), np.array(known["steps"], int), read_trajectories(path))


def _task(optimum: OptimalTrajectory, step: int, state: np.ndarray) -> Task:
    """The problem from ``state``, begun with what is left of the old optimum and its time (the paper's Appendix B)."""
    left = optimum.duration - step * CONTROL_PERIOD
    if left < SHORTEST_GUESS:
        return Task(state, first_duration=max(4 * SHORTEST_GUESS, left))
    return Task(state, optimum.remaining(step), left)


def _claim(data: Path, folder: Path, options: SamplingOptions, seed: int) -> None:
    content = {"options": described(options), "seed": seed, "data": asdict(load_plan(data))}
    text = json.dumps(content, indent=1, sort_keys=True)
    path = folder / "run.json"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise TrainingError(f"{folder} holds a run with other options; give another folder, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
