"""Exact contact planning by enumeration: every pair of contact points, a small QP per keyframe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dto_agents.planar.keyframe_qp import solve_pairs
from dto_agents.planar.mechanics import ContactProblem


@dataclass(frozen=True)
class Choice:
    """Contact points and forces of two fingers over T keyframes.

    Attributes:
        contacts: (T, 2) indices of contact points.
        forces: (T, 4 + G) normal and tangential force of each finger, then ground rays, N.
        cost: the objective.
    """

    contacts: np.ndarray
    forces: np.ndarray
    cost: float


def pair_costs(
    problem: ContactProblem, pairs: np.ndarray | None = None, *, all_keyframes: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Costs (P, T) of forces and accelerations, infinite where infeasible, and forces (P, T, 4 + G) of pairs (P, 2)."""
    pairs = problem.pairs if pairs is None else np.asarray(pairs)
    options = problem.options
    costs, forces = solve_pairs(
        problem.maps,
        problem.ground_maps,
        problem.required,
        pairs,
        problem.usable,
        problem.friction,
        options.least_force,
        options.most_force,
        problem.finger_weight,
        problem.ground_weight,
        all_keyframes,
    )
    return costs + problem.node_cost[:, pairs].sum(-1).T, forces


def fixed_contacts(problem: ContactProblem) -> Choice | None:
    """The cheapest pair of contact points that both fingers keep throughout; None where no pair can do it."""
    costs, forces = pair_costs(problem, all_keyframes=False)
    totals = costs.sum(axis=1)
    best = int(np.argmin(totals)) if len(totals) else -1
    if best < 0 or not np.isfinite(totals[best]):
        return None
    contacts = np.tile(problem.pairs[best], (len(problem.required), 1))
    return ordered(problem, Choice(contacts, forces[best], float(totals[best])))


def changing_contacts(problem: ContactProblem) -> Choice | None:
    """The cheapest contact points when they may change between keyframes at the cost of slip; None where none can.

    Dynamic programming over ordered pairs. The cost of slip is a sum over fingers, so that one step is two min-plus
    products instead of one over all pairs of pairs.
    """
    costs, forces = pair_costs(problem)
    count, keyframes = len(problem.facets), len(problem.required)
    first, second = problem.pairs.T
    stage = np.full((keyframes, count, count), np.inf)
    stage[:, first, second] = stage[:, second, first] = costs.T
    value = stage[0]
    back: list[tuple[np.ndarray, np.ndarray]] = []
    for t in range(1, keyframes):
        through_first = value[:, None, :] + problem.slip[:, :, None]  # from i to j of the first finger
        origin_first = through_first.argmin(axis=0)
        moved = through_first.min(axis=0)
        through_second = moved[:, :, None] + problem.slip[None]
        origin_second = through_second.argmin(axis=1)
        back.append((origin_first, origin_second))
        value = through_second.min(axis=1) + stage[t]
    if not np.isfinite(value).any():
        return None
    state = np.unravel_index(int(value.argmin()), value.shape)
    contacts = np.empty((keyframes, 2), dtype=np.int64)
    contacts[-1] = state
    for t in range(keyframes - 1, 0, -1):
        origin_first, origin_second = back[t - 1]
        one, two = contacts[t]
        before = origin_second[one, two]
        contacts[t - 1] = origin_first[one, before], before
    chosen = np.stack([_forces_of(problem, forces, t, pair) for t, pair in enumerate(contacts)])
    return ordered(problem, Choice(contacts, chosen, float(value.min())))


def _forces_of(problem: ContactProblem, forces: np.ndarray, keyframe: int, pair: np.ndarray) -> np.ndarray:
    """Forces (4 + G,) of an ordered pair, from those of pairs by rising index."""
    low, high = sorted(int(index) for index in pair)
    found = forces[int(np.flatnonzero((problem.pairs == (low, high)).all(axis=1))[0]), keyframe]
    return found if (low, high) == tuple(pair) else found[_EXCHANGED + list(range(4, len(found)))]


_EXCHANGED = [2, 3, 0, 1]


def ordered(problem: ContactProblem, choice: Choice) -> Choice:
    """The same with the finger first that is further left at the first keyframe."""
    left, right = problem.world[0, choice.contacts[0], 0]
    if left <= right:
        return choice
    rest = list(range(4, choice.forces.shape[1]))
    return Choice(choice.contacts[:, ::-1].copy(), choice.forces[:, _EXCHANGED + rest], choice.cost)
