"""Robomimic's tasks on one core: robosuite's own loop, ours, and what MuJoCo's physics alone would allow.

Also what a reset costs, and what a worker process does: CPU and wall time from its start to the end of the first step,
and its memory then, resident (RSS) and with shared pages divided among those who share them (PSS).

Run: python benchmarks/bench_robomimic.py [task ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import gymnasium
import mujoco
import numpy as np
from timing import cpu_seconds

import dto_envs  # noqa: F401  (registers the ids)
from dto_envs.robomimic.build import TASKS, make_robosuite_env, seed_robosuite_env

STEPS = 100
ROUNDS = 3


WORKER = """
import json, sys, time
import gymnasium, dto_envs
env = gymnasium.make(sys.argv[1])
env.reset(seed=0)
env.step(env.action_space.sample())
lines = [line.split() for line in open("/proc/self/smaps_rollup")]
memory = {line[0].rstrip(":"): int(line[1]) / 1024 for line in lines if line[0] in ("Rss:", "Pss:")}
print(json.dumps({"cpu": time.process_time(), "wall": time.time() - float(sys.argv[2])} | memory))
"""


def sweeps(seed: int, arms: int) -> np.ndarray:
    """(STEPS, 7 * arms) actions that sweep at full deflection, open and close the grippers, and come down on things."""
    generator = np.random.default_rng(seed)
    phase, period = generator.uniform(0, 2 * np.pi, 7), generator.uniform(15, 40, 7)
    actions = 1.5 * np.sin(2 * np.pi * np.arange(STEPS)[:, None] / period + phase)
    return np.tile(np.clip(actions, -1, 1), arms)


class Contest:
    """One task's three contenders, fed with the same actions from the same initial states."""

    def __init__(self, task: str) -> None:
        """Build all three."""
        self.arms = TASKS[task].arms
        self.ours = gymnasium.make(f"dto/{task}-v0", terminate_on_success=False).unwrapped
        self.robosuite = make_robosuite_env(TASKS[task])
        self.physics = mujoco.MjData(self.ours.model)

    def round(self, seed: int) -> dict[str, float]:
        """Steps per CPU second of each contender over one sweep."""
        actions = sweeps(seed, self.arms)
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
        return cpu_seconds(lambda: mujoco.mj_step(model, data, 25))


def worker(task: str) -> dict[str, float]:
    """CPU and wall seconds of a fresh process until it has made its first step, and its memory in MB."""
    command = [sys.executable, "-c", WORKER, f"dto/{task}-v0", str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def line(task: str) -> str:
    """A task's row of the table."""
    contest = Contest(task)
    rounds = [contest.round(seed) for seed in range(ROUNDS)]
    robosuite, ours, physics = (max(one[name] for one in rounds) for name in ("robosuite", "ours", "physics"))
    resets = [cpu_seconds(lambda seed=seed: contest.ours.reset(seed=seed)) for seed in range(20)]
    process = worker(task)
    return (
        f"{task:10s}{robosuite:10.0f}{ours:8.0f}{ours / robosuite:7.1f}{physics:15.0f}{1e3 * np.median(resets):7.1f} ms"
        f"{process['cpu']:12.1f}{process['wall']:8.1f}{process['Rss']:10.0f}{process['Pss']:8.0f}"
    )


def main() -> None:
    """Print one line per task."""
    print(f"control steps per CPU second, best of {ROUNDS} rounds of {STEPS}; a worker's start in s, its memory in MB")
    titles = f"{'robosuite':>10s}{'ours':>8s}{'ratio':>7s}{'physics alone':>15s}{'reset':>10s}"
    print(f"{'':10s}{titles}{'start CPU':>12s}{'wall':>8s}{'RSS':>10s}{'PSS':>8s}")
    for task in sys.argv[1:] or TASKS:
        print(line(task), flush=True)


if __name__ == "__main__":
    main()
