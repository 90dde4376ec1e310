"""The iiwa's speed: one environment, many closed loops at once under a small network, and the regulator's table.

Run: python benchmarks/bench_iiwa.py [--starts 1000] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from timing import machine, seconds_per_call

import dto_envs  # noqa: F401  (registers the ids)
from dto_agents.iiwa.lqr import goal_regulator, linear_quadratic_problem, solve
from dto_envs.iiwa.batch import simulate
from dto_envs.iiwa.model import holding_torque, sample_start

STEPS = 400


def episode(env: gymnasium.Env, steps: int) -> None:
    """Hold the start, so that the arm sags slowly and no brake locks."""
    observation, _ = env.reset(seed=0)
    torque = holding_torque(observation[:7])
    for _ in range(steps):
        env.step(torque)


DAMPING = np.array([20, 20, 10, 10, 2, 0.3, 0.02])  # Nm s/rad


def small_network(starts: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Two networks of the paper's size and the regulator's gains on all rows: as costly as a QRnet.

    Little of their answer reaches the arms, which sag slowly from their starts: no loop ends early, and none brakes.
    """
    torch.manual_seed(0)
    control, remaining = (_layers(outputs) for outputs in (7, 1))
    regulator = goal_regulator()
    holding = np.array([holding_torque(start) for start in starts])

    @torch.no_grad()
    def act(states: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
        inputs = torch.as_tensor(states, dtype=torch.float32)
        seconds = torch.nn.functional.softplus(remaining(inputs)).numpy()[:, 0]
        answer = regulator.torque(states, seconds) + control(inputs).numpy()
        return (holding - DAMPING * states[:, 7:] + 1e-9 * answer).astype(np.float32)

    return act


def _layers(outputs: int) -> torch.nn.Module:
    sizes, parts = (14, 32, 64, 64, 32), []
    for inputs, width in zip(sizes, sizes[1:], strict=False):
        parts += [torch.nn.Linear(inputs, width), torch.nn.ELU()]
    return torch.nn.Sequential(*parts, torch.nn.Linear(32, outputs))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the networks are small: a second thread waits more than it works
    print(machine())
    env = gymnasium.make("dto/IiwaReach-v0").unwrapped
    episode(env, 10)
    print(f"step            {1e6 * seconds_per_call(lambda: episode(env, 400), 1) / 400:8.1f} us of CPU")
    print(f"reset           {1e6 * seconds_per_call(lambda: env.reset(seed=0), 200):8.1f} us of CPU")
    problem = linear_quadratic_problem()
    print(f"regulator, 4 s  {1e3 * seconds_per_call(lambda: solve(problem), 1):8.1f} ms of CPU")

    rng = np.random.default_rng(0)
    starts = np.array([sample_start(rng) for _ in range(arguments.starts)])
    begin, cpu = time.perf_counter(), time.process_time()
    loops = simulate(starts, small_network(starts), STEPS, threads=arguments.threads)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    steps = int(loops.steps.sum())
    print(
        f"{arguments.starts} closed loops of {STEPS} steps under networks, {arguments.threads} threads: {wall:.1f} s,"
    )
    print(f"  {cpu:.1f} s of CPU, {1e6 * cpu / steps:.1f} us of CPU a step; {loops.braked.sum()} braked")


if __name__ == "__main__":
    main()
