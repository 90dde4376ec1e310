"""The RC car's speed on one core, in CPU time: environment steps, pictures, rollouts of many cars, projections.

Run: python benchmarks/bench_rc_car.py
"""

from __future__ import annotations

import gymnasium
import numpy as np
from timing import seconds_per_call

import dto_envs  # noqa: F401  (registers the ids)
from dto_envs.rc_car.car import initial_state, rollout
from dto_envs.rc_car.learned import NetworkError
from dto_envs.rc_car.tracks import TRACKS


def episodes(env: gymnasium.Env, steps: int) -> None:
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (steps, 2)).astype(np.float32)
    done = True
    for action in actions:
        if done:
            env.reset(seed=0)
        done = any(env.step(action)[2:4])


def step_seconds(steps: int, **kwargs) -> float:
    env = gymnasium.make(**kwargs)
    episodes(env, 5)
    return seconds_per_call(lambda: episodes(env, steps), 1) / steps


def main() -> None:
    rows = [
        ("step, manoeuvre", step_seconds(2000, id="dto/RCCarParking-v0"), 1),
        ("step, race", step_seconds(2000, id="dto/RCCarRace-v0"), 1),
        ("step, race, image", step_seconds(60, id="dto/RCCarRace-v0", obs_type="image"), 1),
    ]
    try:
        rows.append(("step, learned ensemble", step_seconds(500, id="dto/RCCarRace-v0", dynamics="learned"), 1))
    except NetworkError as error:
        print(error)
    generator = np.random.default_rng(0)
    for cars in (1, 64, 512):
        states = initial_state(np.zeros((cars, 3)), generator.uniform(-2, 2, (cars, 3)))
        controls = generator.uniform(-1, 1, (cars, 40, 2))
        rollout(states, controls)
        seconds = seconds_per_call(lambda s=states, c=controls: rollout(s, c), max(1, 2000 // cars))
        rows.append((f"rollout, {cars} cars x 40 steps", seconds, cars * 40))
    points = generator.uniform(-3, 3, (10_000, 2))
    for track in TRACKS.values():
        track.project(points)
        seconds = seconds_per_call(lambda t=track: t.project(points), 5)
        rows.append((f"projection, {track.name}", seconds, len(points)))
    print(f"{'':28s}{'per call':>14s}{'per second':>16s}")
    for name, seconds, count in rows:
        print(f"{name:28s}{seconds * 1e6:11.1f} us{count / seconds:16.0f}")


if __name__ == "__main__":
    main()
