"""The contact expert of planar pushing: time, proven gap and executed loss of every way to plan, on every set.

Times are CPU time of this thread, so that other processes count less. Run: python benchmarks/bench_planar_expert.py
[method ...]; SCIP takes minutes and is left out unless it is named.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from timing import machine

from dto_agents.planar.expert import plan
from dto_envs.planar_push import physics
from dto_envs.planar_push.constants import POSITION_STIFFNESS
from dto_envs.planar_push.tasks import SETS, make_task


def measure(set_name: str, method: str) -> str:
    """A line of the table."""
    seconds, gaps, pressed, fed = [], [], [], []
    for index in range(SETS[set_name].size):
        task = make_task(set_name, index)
        start = time.process_time()
        made = plan(task, method)
        seconds.append(time.process_time() - start)
        gaps.append(made.gap)
        targets = made.fingers + made.forces / POSITION_STIFFNESS
        for losses, run in (
            (pressed, physics.simulate(task, targets)),
            (fed, physics.simulate(task, made.fingers, made.forces)),
        ):
            losses.append(physics.trajectory_loss(run.poses, task.poses))
    return (
        f"{set_name:>10}{method:>13}{np.median(seconds):>10.4f}{np.max(seconds):>9.3f}{np.max(gaps):>10.1e}"
        f"{np.median(pressed):>11.4f}{np.max(pressed):>9.3f}{np.median(fed):>11.4f}{np.max(fed):>9.3f}"
    )


def main() -> None:
    """Print the table."""
    methods = sys.argv[1:] or ["enumeration", "viterbi", "highs"]
    print(f"{machine()}; times in CPU s a task, losses in cm^2")
    print(f"{'':>23}{'median s':>10}{'max s':>9}{'max gap':>10}{'springs':>11}{'max':>9}{'forces':>11}{'max':>9}")
    plan(make_task("train", 0))  # compiles
    for set_name in SETS:
        for method in methods:
            print(measure(set_name, method), flush=True)


if __name__ == "__main__":
    main()
