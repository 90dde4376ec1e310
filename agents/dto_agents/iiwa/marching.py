"""Marching over step counts (the paper's Section III-A): a coarse solution as the guess of a finer one.

Ours differs in one point: where a coarse grid has no converged solution, which happens on steps of 0.03 s and more
since Euler's method is unstable there for the light wrist, its result is dropped and the next grid begins where it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dto_agents.iiwa.solver import FixedSolution
    from dto_agents.iiwa.trajectory import Guess


def march(solve: Callable[[int, Guess], FixedSolution], counts: Sequence[int], guess: Guess) -> FixedSolution:
    """Solve on each number of steps in turn, each from the last converged solution.

    Args:
        solve: solves on a number of steps from a guess given on any.
        counts: numbers of steps; the answer is that of the last.
        guess: where the first begins.

    Returns:
        The last solution, with the DDP iterations of all.
    """
    spent = 0
    solution = None
    for steps in counts:
        solution = solve(steps, guess)
        spent += solution.ddp_iterations
        if solution.converged:
            guess = solution.guess
    assert solution is not None
    return replace(solution, ddp_iterations=spent)
