"""Suite ``iiwa-solver``: does marching over step counts help the open-loop solver of the iiwa's reaching?

The same starts are solved with and without marching, from a good guess (the arm held at its start) and from a zero
guess (the paper's), on two sides of the cube of starts. Each combination is a data set in ``<out>/data``, so that an
interrupted suite goes on where it stopped.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dto_agents.iiwa.datasets import DatasetPlan, collect_dataset, load_dataset
from dto_agents.iiwa.solver import OpenLoopSolver, SolverOptions
from dto_agents.iiwa.trajectory import OptimalTrajectory, Status
from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page

STARTS = 500
SIDES = {1.0: 1.0, 2.0: 0.2}  # edge of the cube of starts [rad] -> share of the starts that is solved there
# Coarser grids than 0.03 s are unstable for the light wrist; 40 steps of 1.2 s are 0.03 s.
COUNTS = (40, 70)
TIMED = 40


@dataclass(frozen=True)
class Variant:
    """One way to solve the problems; its name is that of its folder."""

    name: str
    guess: str
    marching: tuple[int, ...]

    @property
    def options(self) -> SolverOptions:
        """What the solver is told."""
        return SolverOptions(guess=self.guess, marching=self.marching)


VARIANTS = (
    Variant("good", "hold", ()),
    Variant("good-marched", "hold", COUNTS),
    Variant("zero", "zero", ()),
    Variant("zero-marched", "zero", COUNTS),
)


def run(options: SuiteOptions) -> Path:
    """Solve all starts in all ways and write the page.

    Args:
        options: ``episodes`` is the number of starts on side 1, 500 where None; on side 2 a fifth of them is solved.
    """
    count = options.episodes or STARTS
    answers: dict[tuple[float, str], list[OptimalTrajectory]] = {}
    for side, share in SIDES.items():
        plan = DatasetPlan(train=0, validation=0, test=max(1, round(share * count)), side=side)
        for variant in VARIANTS:
            name = f"side {side:g}, {variant.name}"

            def report(done: int, total: int, solved: int, name: str = name) -> None:
                options.console.print(f"{name}: {done}/{total} problems, {solved} solved")

            folder = options.out / "data" / f"side{side:g}-{variant.name}"
            collect_dataset(plan, folder, workers=options.workers, options=variant.options, report=report)
            answers[side, variant.name] = load_dataset(folder, "test")
    return _write(answers, options.out)


def _write(answers: dict[tuple[float, str], list[OptimalTrajectory]], out: Path) -> Path:
    page = Page("Open-loop solver of the iiwa's reaching, with and without marching", out)
    page.text(
        "The same starts in all ways, those of `dto/IiwaReach-v0` for the reset seeds 100000 and up. Marching "
        f"solves each problem on {' and '.join(map(str, COUNTS))} steps before the 100 on which the duration is "
        "searched; a coarse solution that did not converge is dropped. The good guess holds the arm at its start; the "
        "zero guess is states and torques of zero, the paper's. The paper reports 96.7 % of problems solved with "
        "marching and 82.8 % without, on starts and constants of which the available text has lost the numbers."
    )
    page.heading("Problems solved")
    columns = [
        "side [rad]",
        "starts",
        "guess",
        "marching",
        "solved [%]",
        "not solved",
        "extra cost [%]",
        "T updates",
        "DDP steps",
    ]
    page.table("solved", columns, [_row(side, each, answers) for side in SIDES for each in VARIANTS])
    page.text(
        "*Extra cost*: mean excess of the solved problems' cost over the lowest that any of the four ways found for "
        "the same start: what settling in a worse local optimum costs. *T updates* and *DDP steps*: means over all "
        "problems; steps on coarse grids count as much as those on fine ones. A data set file keeps the status and the "
        "reason of every problem."
    )
    page.heading("Effort")
    page.table("effort", ["side [rad]", "guess", "marching", "CPU time a problem [s]"], _effort(), digits=3)
    page.text(f"Mean over the first {TIMED} starts, one process, as CPU time, so that a busy machine does not matter.")
    return page.write()


def _row(side: float, variant: Variant, answers: dict[tuple[float, str], list[OptimalTrajectory]]) -> list:
    own = answers[side, variant.name]
    best = np.min([[each.cost for each in answers[side, other.name]] for other in VARIANTS], axis=0)
    solved = np.array([each.solved for each in own])
    extra = np.array([each.cost for each in own])[solved] / best[solved] - 1
    statuses = Counter(each.status.value for each in own if each.status is not Status.CONVERGED)
    return [
        side,
        len(own),
        variant.guess,
        "yes" if variant.marching else "no",
        float(100 * solved.mean()),
        ", ".join(f"{number} {status}" for status, number in sorted(statuses.items())) or "none",
        float(100 * extra.mean()) if solved.any() else None,
        float(np.mean([each.iterations for each in own])),
        float(np.mean([each.ddp_iterations for each in own])),
    ]


def _effort() -> list[list]:
    rows = []
    for side in SIDES:
        plan = DatasetPlan(side=side)
        for variant in VARIANTS:
            solver = OpenLoopSolver(options=variant.options)
            solver.solve(plan.start("validation", 0))
            began = time.process_time()
            for index in range(TIMED):
                solver.solve(plan.start("test", index))
            seconds = (time.process_time() - began) / TIMED
            rows.append([side, variant.guess, "yes" if variant.marching else "no", seconds])
    return rows
