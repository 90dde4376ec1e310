"""Planar pushing's speed on one core: drawing tasks, resets, episodes, videos and pictures, in CPU time.

Run: python benchmarks/bench_planar.py
"""

from __future__ import annotations

import gymnasium
import numpy as np
from timing import machine, seconds_per_call

import dto_envs  # noqa: F401  (registers the ids)
from dto_envs.planar_push.feasibility import is_solvable
from dto_envs.planar_push.physics import Physics, simulate
from dto_envs.planar_push.tasks import make_task, random_task
from dto_envs.planar_push.video import task_video

ID = "dto/PlanarPush-v0"


def episode(env: gymnasium.Env, actions: np.ndarray) -> None:
    """One reset and five actions."""
    env.reset(options={"task": 0})
    for action in actions:
        env.step(action)


def main() -> None:
    """Print the table."""
    task = make_task("test", 0)
    under = task.poses[:, None, :2] + np.array([[-0.05, -0.1], [0.05, -0.1]])
    actions = under.reshape(5, 4).astype(np.float32)
    fresh = gymnasium.make(ID)
    states = gymnasium.make(ID, object_set="test")
    pictures = gymnasium.make(ID, object_set="test", render_mode="rgb_array")
    generator = np.random.default_rng(0)
    episode(pictures, actions)
    rows = [
        ("episode, contact nearly always", seconds_per_call(lambda: episode(states, actions), 50)),
        ("physics of an episode alone, 2 ms", seconds_per_call(lambda: simulate(task, under), 50)),
        ("physics, 5 ms", seconds_per_call(lambda: simulate(task, under, physics=Physics(dt=0.005)), 50)),
        ("reset with a fresh task", seconds_per_call(fresh.reset, 50)),
        ("fresh task alone", seconds_per_call(lambda: random_task(generator), 50)),
        ("is_solvable, 12 facets", seconds_per_call(lambda: is_solvable(task), 20)),
        ("video of a task", seconds_per_call(lambda: task_video(task), 20)),
        ("rgb_array picture", seconds_per_call(pictures.render, 5)),
    ]
    print(machine())
    for name, seconds in rows:
        print(f"{name:36s}{seconds * 1e3:10.2f} ms{1 / seconds:10.0f} /s")


if __name__ == "__main__":
    main()
