"""Time the box QP against ProxQP and qpth, and the filters by name.

Problems as in a rollout: T = 16 steps, 6 trajectory dimensions, bound 0.1, Q = L L' + eps I near the identity, float64.
The bound is active on about half of the differences. Run on an idle machine: python benchmarks/bench_filters.py
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import proxsuite
import torch

from dto_envs.filters import FILTERS, boxqp, boxqp_torch, general, make_filter, reference, violation
from dto_envs.filters.rows import difference_rows
from dto_envs.layouts import ROBOMIMIC_LAYOUT

HORIZON, DIMS, BOUND, ALPHA = 16, 6, 0.1, 1.0
TRAJECTORY = tuple(range(DIMS))


def problem(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = HORIZON * DIMS
    lower = np.tril(0.05 * rng.normal(size=(batch, size, size)), -1)
    factor = lower + np.eye(size) * np.exp(0.2 * rng.normal(size=(batch, 1, size)))
    actions = np.cumsum(0.15 * rng.normal(size=(batch, HORIZON, DIMS)), axis=1)
    limits = np.full((1, HORIZON, DIMS), BOUND)
    return {
        "q": factor @ factor.transpose(0, 2, 1) + 1e-4 * np.eye(size),
        "linear": actions,
        "lower": -limits,
        "upper": limits,
        "previous": actions[:, 0] + 0.05 * rng.normal(size=(batch, DIMS)),
    }


@dataclass(frozen=True)
class Stopwatch:
    """Medians of wall time, or of the processor time of all threads where the machine has other work."""

    clock: Callable[[], float]
    repeats: int

    def milliseconds(
        self, work: Callable[..., object], slow: bool = False, prepare: Callable[[], Any] = tuple
    ) -> float:
        """Time ``work(*prepare())`` without its preparation; a tenth of the repetitions if it is slow."""
        work(*prepare())
        times = []
        for _ in range(max(2, self.repeats // 10) if slow else self.repeats):
            arguments = prepare()
            begin = self.clock()
            work(*arguments)
            times.append(1e3 * (self.clock() - begin))
        return statistics.median(times)


def box(data: dict[str, np.ndarray], threads: int) -> boxqp.BoxSolution:
    return boxqp.solve(**data, alpha=ALPHA, trajectory=TRAJECTORY, threads=threads)


def rows_of(data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows = difference_rows(data["lower"], data["upper"], DIMS, TRAJECTORY, data["previous"])
    return general.smoothed(data["q"], ALPHA, TRAJECTORY, HORIZON), rows.matrix, rows.lower, rows.upper


def proxqp_problems(data: dict[str, np.ndarray], accuracy: float = 1e-6) -> Any:
    """Problems for the batch solver, set up; that is not timed."""
    hessian, matrix, lower, upper = rows_of(data)
    problems = proxsuite.proxqp.dense.BatchQP()
    for b in range(len(hessian)):
        qp = problems.init_qp_in_place(HORIZON * DIMS, 0, len(matrix))
        qp.settings.eps_abs, qp.settings.eps_rel = accuracy, 0.0
        qp.init(hessian[b], -data["linear"][b].ravel(), None, None, matrix, lower[b], upper[b])
    return problems


def qpth(data: dict[str, np.ndarray], backward: bool) -> Callable[[], object]:
    """One sample at a time: on a CPU its batches come out wrong or raise. Its settings are its own defaults."""
    from qpth.qp import QPFunction

    hessian, matrix, lower, upper = (torch.from_numpy(np.ascontiguousarray(part)) for part in rows_of(data))
    sides = torch.cat([matrix, -matrix]).expand(len(hessian), -1, -1), torch.cat([upper, -lower], dim=1)
    slope, empty = -torch.from_numpy(data["linear"]).flatten(1), torch.empty(0, dtype=torch.float64)
    form = hessian.requires_grad_(backward)

    def solve() -> np.ndarray:
        solver = QPFunction(verbose=-1, check_Q_spd=False)
        parts = [[part[b : b + 1] for part in (form, slope, *sides)] for b in range(len(slope))]
        answers = torch.cat([solver(*part, empty, empty) for part in parts])
        if backward:
            form.grad = None
            answers.square().sum().backward()
        return answers.detach().numpy().reshape(data["linear"].shape)

    return solve


def box_training(data: dict[str, np.ndarray]) -> Callable[[], object]:
    tensors = {name: torch.from_numpy(array) for name, array in data.items()}
    tensors["q"].requires_grad_()

    def step() -> None:
        tensors["q"].grad = None
        boxqp_torch.solve(**tensors, alpha=ALPHA, trajectory=TRAJECTORY).square().sum().backward()  # type: ignore

    return step


def residual(data: dict[str, np.ndarray], actions: np.ndarray) -> float:
    return float(reference.kkt_residual(**data, actions=actions, alpha=ALPHA, trajectory=TRAJECTORY).max())


def solvers(watch: Stopwatch, threads: int) -> None:
    torch.set_num_threads(1)  # qpth's matrices are too small for two; the box QP divides the samples itself
    solve_proxqp = proxsuite.proxqp.dense.solve_in_parallel
    for batch, label in ((25, "batch of 25"), (1, "single sample")):
        data = problem(batch)
        solution, slowly = box(data, threads), qpth(data, backward=False)
        ours = watch.milliseconds(lambda data=data: box(data, threads))
        theirs = watch.milliseconds(solve_proxqp, prepare=lambda data=data: (proxqp_problems(data), threads))
        slow = watch.milliseconds(slowly, slow=True)
        active, error = np.abs(solution.active).mean(), residual(data, solution.actions)
        print(f"{label:15s} active {active:4.0%}, residual {error:.0e}", flush=True)
        print(f"{'':15s} box QP {ours:8.2f} ms   ProxQP {theirs:8.2f} ms = {theirs / ours:5.1f}x", end="   ")
        print(f"qpth {slow:8.1f} ms = {slow / ours:5.0f}x", flush=True)
    data = problem(128)
    torch.set_num_threads(threads)
    ours = watch.milliseconds(box_training(data))
    torch.set_num_threads(1)
    slow = watch.milliseconds(qpth(data, backward=True), slow=True)
    print("batch of 128    forward and backward")
    print(f"{'':15s} box QP {ours:8.2f} ms   {'':27s}   qpth {slow:8.1f} ms = {slow / ours:5.0f}x", flush=True)


def filters(watch: Stopwatch) -> None:
    layout = ROBOMIMIC_LAYOUT
    rng = np.random.default_rng(0)
    chunk = np.clip(np.cumsum(0.15 * rng.normal(size=(25, 15, layout.size)), axis=1), -1, 1)
    previous = chunk[:, 0] + 0.05 * rng.normal(size=(25, layout.size))
    torch.set_num_threads(1)
    print("filters         batch of 25, 15 steps, 7 dimensions, one thread")
    for name in FILTERS:
        action_filter = make_filter(name, layout)
        time_taken = watch.milliseconds(lambda f=action_filter: f(chunk, previous))
        left = violation(action_filter(chunk, previous), previous, layout).max()
        print(f"{'':15s} {name:12s} {time_taken:8.2f} ms   largest violation {left:.0e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50, help="timed repetitions; the median is printed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a machine with other work")
    options = parser.parse_args()
    watch = Stopwatch(time.perf_counter if options.clock == "wall" else time.process_time, options.repeats)
    print(f"T = {HORIZON}, {DIMS} dimensions, bound {BOUND}, float64, {options.threads} threads", end=", ")
    print(f"medians of {options.clock} time")
    solvers(watch, options.threads)
    filters(watch)


if __name__ == "__main__":
    main()
