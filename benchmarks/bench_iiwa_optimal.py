"""Optimal control of the iiwa as CPU time: a problem solved, a closed loop of learned controllers, a training step.

Run: OMP_NUM_THREADS=1 python benchmarks/bench_iiwa_optimal.py
"""

from __future__ import annotations

import torch
from timing import cpu_seconds, machine

from dto_agents.iiwa.datasets import DatasetPlan
from dto_agents.iiwa.evaluation import evaluate, feedback_of
from dto_agents.iiwa.members import recipe_for
from dto_agents.iiwa.qrnet import ControlNetwork, Ensemble, Policy, TimeNetwork
from dto_agents.iiwa.solver import OpenLoopSolver
from dto_agents.iiwa.training import samples_of, train_policy

PROBLEMS = 60


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rows = []
    for side in (0.4, 1.0, 2.0):
        plan, solver, optima = DatasetPlan(side=side), OpenLoopSolver(), []
        solver.solve(plan.start("validation", 0))
        starts = [plan.start("test", index) for index in range(PROBLEMS)]
        seconds = cpu_seconds(lambda: optima.extend(map(solver.solve, starts))) / PROBLEMS  # noqa: B023
        solved = sum(each.solved for each in optima)
        rows.append((f"a problem on side {side:g} ({solved} of {PROBLEMS} solved)", seconds))
        if side == 1.0:
            default = [each for each in optima if each.solved]
    ensemble = Ensemble([Policy(ControlNetwork("qrnet"), TimeNetwork()) for _ in range(3)])
    evaluate(feedback_of(ensemble.torques), default[:1], threads=1)
    seconds = cpu_seconds(lambda: evaluate(feedback_of(ensemble.torques), default, threads=1)) / len(default)
    rows.append(("1000 closed loops of 3 networks that never arrive", 1000 * seconds))
    samples, options = samples_of(default), recipe_for("iiwa-qrnet").sampling.training
    steps = options.epochs * -(-len(samples) // options.batch)
    seconds = cpu_seconds(lambda: train_policy(samples, samples, options, 0)) / steps
    rows.append(("a training step of both networks", seconds))
    print(f"{machine()}; CPU time on one core")
    for name, seconds in rows:
        print(f"{name:55s} {seconds * 1e3:10.2f} ms")


if __name__ == "__main__":
    main()
