"""Push-T's speed on one core: steps with and without contact, resets, images, and what a step is made of.

Run: python benchmarks/bench_pusht.py
"""

from __future__ import annotations

import gymnasium
import numpy as np
from timing import machine, seconds_per_call

import dto_envs  # noqa: F401  (registers the ids)
from dto_envs.pusht import coverage
from dto_envs.pusht.physics import World

STATE = [150.0, 300.0, 250.0, 250.0, 0.5]


def episodes(env: gymnasium.Env, steps: int, near_block: bool) -> None:
    """Steps towards random targets, near the block (contact nearly always) or in a corner (none), resets included."""
    generator = np.random.default_rng(0)
    low, high = (150.0, 350.0) if near_block else (20.0, 60.0)
    targets = generator.uniform(low, high, size=(steps, 2)).astype(np.float32)
    for i, target in enumerate(targets):
        if i % 300 == 0:
            env.reset(options={"state": STATE})
        env.step(target)


def main() -> None:
    """Print the table."""
    env = gymnasium.make("dto/PushT-v0", terminate_on_success=False)
    episodes(env, 10, near_block=True)
    rows = []
    for name, near_block in (("step, pushing", True), ("step, free", False)):
        seconds = seconds_per_call(lambda near_block=near_block: episodes(env, 6000, near_block), 1) / 6000
        rows.append((name, seconds))
    rows.append(("reset", seconds_per_call(lambda: env.reset(seed=0), 500)))
    world = World(STATE)
    rows.append(("physics of a step alone", seconds_per_call(lambda: world.push(150.0, 300.0), 3000)))
    rows.append(("coverage alone", seconds_per_call(lambda: coverage(260.0, 250.0, 0.7), 20000)))
    images = gymnasium.make("dto/PushT-v0", obs_type="image", terminate_on_success=False)
    episodes(images, 10, near_block=True)
    rows.append(("step, image", seconds_per_call(lambda: episodes(images, 600, True), 1) / 600))
    print(machine())
    for name, seconds in rows:
        print(f"{name:26s}{seconds * 1e6:10.1f} us{1 / seconds:12.0f} /s")


if __name__ == "__main__":
    main()
