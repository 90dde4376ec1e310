"""Fingers on given facets, anywhere between two shares at every keyframe: what facets cost, and exact forces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dto_agents.planar.mechanics import ContactProblem

UNBOUNDED = 1e20  # ProxQP's infinity


@dataclass(frozen=True)
class FacetTable:
    """Costs of facets, each no more than that of any contact point on it.

    Attributes:
        usable: (T, F), whether a finger may be on the facet.
        node_cost: (T, F), cost of a finger's acceleration.
        slip: (F, F), cost of moving from one facet to another.
        x: (F,), horizontal position of the middles at the first keyframe, m.
    """

    usable: np.ndarray
    node_cost: np.ndarray
    slip: np.ndarray
    x: np.ndarray


@dataclass(frozen=True)
class FacetForces:
    """The cheapest forces on given facets.

    Attributes:
        facets: (T, 2) facet of each finger.
        ends: (T, 2, 2) normal forces at the two ends of each finger's facet, N.
        tangential: (T, 2) forces along the facets, N.
        ground: (T, G) forces along ground rays, N.
        cost: the objective.
    """

    facets: np.ndarray
    ends: np.ndarray
    tangential: np.ndarray
    ground: np.ndarray
    cost: float


def facet_table(problem: ContactProblem) -> FacetTable:
    """The costs of facets in a problem with two contact points on each."""
    keyframes = len(problem.required)
    ends = problem.points.reshape(-1, 2, 2)
    count = len(ends)
    return FacetTable(
        usable=problem.usable.reshape(keyframes, count, 2).all(axis=-1),
        node_cost=problem.node_cost.reshape(keyframes, count, 2).mean(axis=-1),
        slip=problem.slip.reshape(count, 2, count, 2).min(axis=(1, 3)),
        x=problem.world[0, :, 0].reshape(count, 2).mean(axis=-1),
    )


def facet_forces(problem: ContactProblem, table: FacetTable, facets: np.ndarray) -> FacetForces | None:
    """The cheapest forces on ``facets`` (T, 2) in a problem with two contact points on each; None if there are none."""
    keyframes = np.arange(len(facets))[:, None]
    solved = [_keyframe(problem, t, pair) for t, pair in enumerate(facets)]
    if any(forces is None for forces in solved):
        return None
    forces = np.array(solved)
    ends, tangential, ground = forces[:, :4].reshape(-1, 2, 2), forces[:, 4:6], forces[:, 6:]
    squares = problem.finger_weight * ((ends.sum(-1) ** 2).sum() + (tangential**2).sum())
    cost = squares + problem.ground_weight * (ground**2).sum() + table.node_cost[keyframes, facets].sum()
    cost += table.slip[facets[:-1], facets[1:]].sum()
    return FacetForces(facets, ends, tangential, ground, float(cost))


def _keyframe(problem: ContactProblem, t: int, facets: np.ndarray) -> np.ndarray | None:
    """Forces (6 + G,) of one keyframe: at the ends of the first and the second facet, tangential, ground."""
    import proxsuite

    options, rays = problem.options, problem.ground_maps.shape[2]
    size = 6 + rays
    total = np.zeros((2, size))
    total[0, :2] = total[1, 2:4] = 1.0
    tangential = np.eye(size)[4:6]
    hessian = problem.finger_weight * (total.T @ total + tangential.T @ tangential)
    hessian[range(6, size), range(6, size)] = problem.ground_weight
    first, second = (problem.maps[t, 2 * facet : 2 * facet + 2] for facet in facets)
    wrench = np.column_stack(
        [first[0, :, 0], first[1, :, 0], second[0, :, 0], second[1, :, 0], first[0, :, 1], second[0, :, 1]]
    )
    wrench = np.hstack([wrench, problem.ground_maps[t]])
    rows = np.vstack(
        [total, problem.friction * total - tangential, problem.friction * total + tangential, np.eye(size)]
    )
    low = np.concatenate([np.full(2, options.least_force), np.zeros(8), np.full(2, -np.inf), np.zeros(rays)])
    high = np.concatenate([np.full(2, options.most_force), np.full(len(low) - 2, np.inf)])
    solver = proxsuite.proxqp.dense.QP(size, 3, len(rows))
    solver.settings.eps_abs, solver.settings.eps_rel, solver.settings.max_iter = 1e-9, 0.0, 1000
    bounds = np.maximum(low, -UNBOUNDED), np.minimum(high, UNBOUNDED)
    solver.init(hessian / problem.finger_weight, np.zeros(size), wrench, problem.required[t], rows, *bounds)
    solver.solve()
    solved = solver.results.info.status == proxsuite.proxqp.PROXQP_SOLVED
    return np.array(solver.results.x) if solved else None
