"""Are our trajectories robosuite's? Our loop and resets against robosuite's own, for random and expert actions.

For each task and seed, robosuite alone makes a reference: its hard reset under the seed, then its own ``step``. Ours
runs beside it twice: from the reference's state before every action ("one step"), where a difference of law would show
at once, and freely from the reset. Free trajectories part where contacts amplify rounding; how fast is told by a
yardstick: robosuite's own ``step`` with joint positions moved by 1e-15, treated in the same two ways. Where ours parts
from robosuite as late as robosuite from itself, what is left is chaos.

One difference is none of rounding, and is printed by itself. Robosuite's reset reads the arm's mass matrix before it
opens the fingers, and the first torque of an episode comes from that reading; ours reads the matrix as it is. For the
table, robosuite's controllers read again after the reset.

Run: python benchmarks/bench_robomimic_fidelity.py [--tasks Lift Can] [--seeds 20] [--steps 300]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

import dto_envs  # noqa: F401  (registers the ids)
from dto_agents.experts.scripted import EXPERTS, make_expert
from dto_envs.robomimic.build import TASKS, make_robosuite_env, quiet, seed_robosuite_env
from dto_envs.robomimic.sensing import robosuite_state_vector
from dto_envs.robomimic.window import restart_controller

NUDGE = 1e-15
PARTED = 1e-9
STATE = ("qpos", "qvel", "qacc_warmstart", "ctrl")
# Beyond this distance, m, lies what robosuite parks out of sight; it falls for ever.
IN_SIGHT = 3.0
QUANTITIES = ("joints", "objects", "observation", "rounded")


@dataclass(frozen=True)
class Moment:
    """What is compared after an action.

    Attributes:
        joints: positions of arms and fingers, rad and m.
        objects: poses of the objects in sight.
        observation: the entries of the observation that robosuite keeps in double precision.
        rounded: those that pass through single precision.
        done: reward and success.
    """

    joints: np.ndarray
    objects: np.ndarray
    observation: np.ndarray
    rounded: np.ndarray
    done: tuple[float, bool]

    def deviation(self, other: Moment) -> dict[str, float]:
        """Largest absolute difference of each quantity."""
        return {name: float(np.abs(getattr(self, name) - getattr(other, name)).max(initial=0)) for name in QUANTITIES}


@dataclass(frozen=True)
class Reference:
    """Robosuite's own trajectory: the state before each action, the actions, and what is seen after each."""

    seed: int
    actions: list[np.ndarray]
    states: list[dict[str, np.ndarray]]
    moments: list[Moment]


class Eye:
    """Reads moments of one task from any simulation of it."""

    def __init__(self, task: str) -> None:
        """Find out where joints and objects are; the observation's rounded part depends on the task."""
        self._arms = TASKS[task].arms
        self._objects = np.zeros(0, dtype=int)
        columns = {"Lift": [], "Can": range(7), "Square": range(7), "ToolHang": range(42)}
        self._rounded = np.array(columns.get(task, [*range(3, 7), *range(10, 14), *range(17, 21)]), dtype=int)

    def open(self, data: Any) -> None:
        """Choose the objects that are in sight at the start of an episode."""
        poses = np.arange(9 * self._arms, data.qpos.size).reshape(-1, 7)
        self._objects = poses[np.linalg.norm(data.qpos[poses[:, :3]], axis=1) < IN_SIGHT].ravel()

    def look(self, data: Any, observation: np.ndarray, reward: float) -> Moment:
        """What is seen now."""
        return Moment(
            data.qpos[: 9 * self._arms].copy(),
            data.qpos[self._objects],
            np.delete(observation, self._rounded),
            observation[self._rounded],
            (float(reward), reward > 0),
        )


def reference(
    env: Any, eye: Eye, task: str, seed: int, steps: int, *, expert: bool = False, read_again: bool = True
) -> Reference:
    """Reset robosuite hard under ``seed`` and step it with random actions, or with the expert's for what it reports."""
    arms = TASKS[task].arms
    seed_robosuite_env(env, seed)
    with quiet():
        raw = env.reset()
        if read_again:
            restart_controller(env)
    data = env.sim.data._data
    eye.open(data)
    generator = np.random.default_rng(seed)
    agent = make_expert(f"dto/{task}-v0") if expert else None
    if agent is not None:
        agent.reset([seed])
    actions, states, moments = [], [], []
    for _ in range(steps):
        if agent is None:
            action = generator.uniform(-1, 1, 7 * arms).astype(np.float32)
        else:
            action = agent.act(robosuite_state_vector(raw, arms)[None])[0, 0]
        actions.append(action.astype(np.float64))
        states.append({name: getattr(data, name).copy() for name in STATE})
        raw, reward, _, _ = env.step(actions[-1])
        moments.append(eye.look(data, robosuite_state_vector(raw, arms), reward))
    return Reference(seed, actions, states, moments)


def compare(
    env: gymnasium.Env, eye: Eye, truth: Reference, *, shared: bool, nudge: float = 0.0
) -> dict[str, np.ndarray]:
    """Deviations (steps,) of each quantity, and whether reward or success differ, with the same actions.

    Args:
        env: ours, bare.
        eye: what reads it.
        truth: robosuite's trajectory.
        shared: begin each step from the reference's state, instead of running freely.
        nudge: what is added to joint positions, at each step where ``shared``, else once.
    """
    simulator: Any = env
    simulator.reset(seed=truth.seed)
    data = simulator.data
    joints = slice(0, truth.moments[0].joints.size)
    data.qpos[joints] += 0.0 if shared else nudge
    rows = []
    for action, state, expected in zip(truth.actions, truth.states, truth.moments, strict=True):
        if shared:
            for name, value in state.items():
                getattr(data, name)[:] = value
            data.qpos[joints] += nudge
        observation, reward, *_ = simulator.step(action)
        moment = eye.look(data, observation, reward)
        rows.append(moment.deviation(expected) | {"done": float(moment.done != expected.done)})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def steps_until_parted(deviations: dict[str, np.ndarray]) -> int:
    """Steps before the first in which joints, objects or exact observations deviate by more than ``PARTED``."""
    parted = np.any([deviations[name] > PARTED for name in ("joints", "objects", "observation")], axis=0)
    return int(np.argmax(parted)) if parted.any() else parted.size


def report(task: str, source: str, found: dict[str, list[dict[str, np.ndarray]]]) -> None:
    """Print a task's and source's block of the table."""
    for name in ("ours", "robosuite+"):
        stepped = {
            key: np.concatenate([one[key] for one in found[f"{name} one step"]]) for key in (*QUANTITIES, "done")
        }
        free = found[f"{name} free"]
        counts = np.array([steps_until_parted(one) for one in free])
        figures = "".join(
            f"{np.median(stepped[key]):9.0e}{np.quantile(stepped[key], 0.99):8.0e}{stepped[key].max():8.0e}"
            for key in QUANTITIES
        )
        done = f"{int(stepped['done'].sum()):4d}/{stepped['done'].size}"
        within = int(sum(one["done"][:count].sum() for one, count in zip(free, counts, strict=True)))
        spread = f"{counts.min()}, {int(np.median(counts))}, {counts.max()}"
        print(f"{task:10s}{source:8s}{name:11s}{figures}{done:>12s}{spread:>16s}{within:6d}", flush=True)


def run(task: str, seeds: range, steps: int) -> None:
    """Compare one task."""
    env_id = f"dto/{task}-v0"
    robosuite_env = make_robosuite_env(TASKS[task], hard_reset=True)
    eye = Eye(task)
    ours, nudged = (gymnasium.make(env_id, terminate_on_success=False, fast=fast).unwrapped for fast in (True, False))
    first = [reference(robosuite_env, eye, task, seed, 1, read_again=False) for seed in seeds[:5]]
    worst = max(compare(ours, eye, truth, shared=False)["joints"][0] for truth in first)
    print(f"{task:10s}joints after the first action, from the early reading of the mass matrix: {worst:.0e}")
    for source in ("random", "expert"):
        if source == "expert" and env_id not in EXPERTS:
            print(f"{task:10s}expert  there is none")
            continue
        found: dict[str, list[dict[str, np.ndarray]]] = {}
        for seed in seeds:
            truth = reference(robosuite_env, eye, task, seed, steps, expert=source == "expert")
            for name, env, nudge in (("ours", ours, 0.0), ("robosuite+", nudged, NUDGE)):
                for shared, kind in ((True, "one step"), (False, "free")):
                    deviations = compare(env, eye, truth, shared=shared, nudge=nudge)
                    found.setdefault(f"{name} {kind}", []).append(deviations)
        report(task, source, found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds, from 100000 on")
    parser.add_argument("--steps", type=int, default=300, help="actions of each kind")
    options = parser.parse_args()
    print(
        f"{options.seeds} seeds, {options.steps} actions; robosuite+ is robosuite's own step, joints moved by {NUDGE:g}"
    )
    print("one step: deviation from robosuite after one action from its state, median, 99 % and largest, of joints and")
    print(
        "objects (rad, m, quaternions), of observations in double and in single precision; reward or success differ in."
    )
    print(
        f"free: steps until anything deviates by more than {PARTED:g}, least, median, most; rewards that differ before."
    )
    titles = "".join(f"{title:>25s}" for title in ("joints", "objects", "observation", "rounded observation"))
    print(f"{'':29s}{titles}{'rewards':>12s}{'free steps':>16s}{'':>6s}")
    start = time.process_time()
    for task in options.tasks:
        run(task, range(100_000, 100_000 + options.seeds), options.steps)
    print(f"{time.process_time() - start:.0f} CPU s")


if __name__ == "__main__":
    main()
