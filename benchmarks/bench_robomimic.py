"""Lift, Can and Square on one core: robosuite's own loop, ours, and what MuJoCo's physics alone would allow.

Run: python benchmarks/bench_robomimic.py
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import gymnasium
import mujoco
import numpy as np

import dto_envs  # noqa: F401  (registers the ids)
from dto_envs.robomimic.build import TASKS, make_robosuite_env, seed_robosuite_env

STEPS = 100
ROUNDS = 3


def sweeps(seed: int) -> np.ndarray:
    """(STEPS, 7) actions that sweep at full deflection, open and close the gripper, and come down on things."""
    generator = np.random.default_rng(seed)
    phase, period = generator.uniform(0, 2 * np.pi, 7), generator.uniform(15, 40, 7)
    actions = 1.5 * np.sin(2 * np.pi * np.arange(STEPS)[:, None] / period + phase)
    return np.clip(actions, -1, 1)


def cpu_seconds(function: Callable[[], object]) -> float:
    """CPU time of one call; other processes on the machine count less than in wall time."""
    start = time.process_time()
    function()
    return time.process_time() - start


class Contest:
    """One task's three contenders, fed with the same actions from the same initial states."""

    def __init__(self, task: str) -> None:
        """Build all three."""
        self.ours = gymnasium.make(f"dto/{task}-v0", terminate_on_success=False).unwrapped
        self.robosuite = make_robosuite_env(TASKS[task])
        self.physics = mujoco.MjData(self.ours.model)

    def round(self, seed: int) -> dict[str, float]:
        """Steps per CPU second of each contender over one sweep."""
        actions = sweeps(seed)
        self.ours.reset(seed=seed)
        states = []
        for action in actions:
            states.append((self.ours.get_state(), self.ours.data.ctrl.copy()))
            self.ours.step(action)
        self.ours.reset(seed=seed)
        ours = cpu_seconds(lambda: [self.ours.step(action) for action in actions])
        seed_robosuite_env(self.robosuite, seed)
        self.robosuite.reset()
        robosuite = cpu_seconds(lambda: [self.robosuite.step(action) for action in actions])
        physics = sum(self._physics_seconds(*state) for state in states)
        return {"robosuite": STEPS / robosuite, "ours": STEPS / ours, "physics": STEPS / physics}

    def _physics_seconds(self, state: np.ndarray, ctrl: np.ndarray) -> float:
        model, data = self.ours.model, self.physics
        data.qpos[:], data.qvel[:] = state[1 : 1 + model.nq], state[1 + model.nq :]
        data.ctrl[:] = ctrl
        start = time.process_time()
        mujoco.mj_step(model, data, 25)
        return time.process_time() - start


def construction(task: str, count: int = 10) -> tuple[float, float]:
    """Seconds and MB that each environment after a process's first one costs."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    environments: list[gymnasium.Env] = []
    seconds = cpu_seconds(lambda: environments.extend(gymnasium.make(f"dto/{task}-v0") for _ in range(count)))
    for env in environments:
        env.reset(seed=0)
    return seconds / count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 / count


def line(task: str) -> str:
    """A task's row of the table."""
    contest = Contest(task)
    rounds = [contest.round(seed) for seed in range(ROUNDS)]
    robosuite, ours, physics = (max(one[name] for one in rounds) for name in ("robosuite", "ours", "physics"))
    reset = min(cpu_seconds(lambda: contest.ours.reset(seed=5)) for _ in range(20))
    seconds, megabytes = construction(task)
    return (
        f"{task:8s}{robosuite:10.0f}{ours:8.0f}{ours / robosuite:7.1f}{physics:15.0f}"
        f"{1e3 * reset:7.1f} ms{1e3 * seconds:10.0f} ms,{megabytes:4.0f} MB"
    )


def main() -> None:
    """Print one line per task."""
    print(f"control steps per CPU second, best of {ROUNDS} rounds of {STEPS}")
    print(f"{'':8s}{'robosuite':>10s}{'ours':>8s}{'ratio':>7s}{'physics alone':>15s}{'reset':>10s}{'another env':>20s}")
    for task in TASKS:
        print(line(task))


if __name__ == "__main__":
    main()
