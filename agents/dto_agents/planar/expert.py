"""The contact expert: finger trajectories and forces that make an object follow a task's motion, when all is known.

It inverts the dynamics (equations 1 and 2 of the DLM paper; 11 and 12 as a mixed-integer program). The fingers stick:
each keeps one point of the object, because a contact that wanders on the object, as it may in the paper's program, is
dragged along when the plan is executed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dto_agents.planar import miqp
from dto_agents.planar.enumeration import Choice, changing_contacts, fixed_contacts, pair_costs
from dto_agents.planar.mechanics import ContactProblem, PlannerOptions, contact_problem, ground_rays
from dto_envs.planar_push.shapes import rotation
from dto_envs.planar_push.tasks import Task

STICKING_POINTS = 9  # contact points per facet from which one is chosen where a program has only chosen the facets


class UnsolvableTaskError(ValueError):
    """No contacts within the planner's limits make the task's motion; the message says where it fails."""


@dataclass(frozen=True)
class FingerPlan:
    """What two fingers do over T keyframes. The first finger is the one further left at the first keyframe.

    Attributes:
        fingers: (T, 2, 2) contact points in m, world frame [keyframe, finger, x or y].
        forces: (T, 2, 2) forces on the object in N, world frame.
        facets: (T, 2) facet that each finger is on.
        shares: (T, 2) where on it, 0 at the facet's first vertex, 1 at its second.
        ground_points: (T, 2, 2) touching vertices in m, world frame; NaN where there is none.
        ground_forces: (T, 2, 2) forces of the ground on the object there, N; zero where there is none.
        cost: the objective of this plan.
        gap: relative distance that is proven between the optimum and what ``method`` found: 0 for enumeration, which is
            exact for its contact points. The mixed-integer program lets contacts wander on their facets, without cost;
            its gap is that of its own optimum, over the facets on which fingers can also stay in one place.
        bound: no plan costs less, as far as ``method`` has proven.
        seconds: time that planning took.
        status: ``optimal``, or ``time limit`` where the gap asked for was not proven in time.
        method: name of the method.
    """

    fingers: np.ndarray
    forces: np.ndarray
    facets: np.ndarray
    shares: np.ndarray
    ground_points: np.ndarray
    ground_forces: np.ndarray
    cost: float
    gap: float
    bound: float
    seconds: float
    status: str
    method: str


METHODS = ("enumeration", "viterbi", "highs", "scip")


def plan(
    task: Task,
    method: str = "enumeration",
    options: PlannerOptions | None = None,
    *,
    gap: float = 1e-3,
    time_limit: float = 60.0,
) -> FingerPlan:
    """Plan finger trajectories and forces for ``task``.

    Args:
        task: the task; everything about it is known.
        method: ``enumeration`` (every pair of contact points that the fingers keep; exact, milliseconds), ``viterbi``
            (contact points that may change between keyframes; exact), ``highs`` or ``scip`` (the mixed-integer program
            over facets, to a proven gap; then the best fixed points on its facets).
        options: limits and costs.
        gap: relative gap at which the mixed-integer solvers stop.
        time_limit: seconds after which they stop with what they have.

    Raises:
        UnsolvableTaskError: there is no plan; names the keyframe that no contact points can make, if there is one.
        dto_envs.registry.MissingExtraError: SCIP is asked for and not installed.
        ValueError: no such method, or nothing was found in time.
    """
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r}; choose from {', '.join(METHODS)}")
    options = options or PlannerOptions()
    began = time.perf_counter()
    if method in ("highs", "scip"):
        contacts, proof = _by_program(task, options, method, gap, time_limit)
        shown = {"gap": proof.gap, "bound": proof.bound, "status": proof.status}
    else:
        problem = contact_problem(task, options)
        choice = (fixed_contacts if method == "enumeration" else changing_contacts)(problem)
        if choice is None:
            raise UnsolvableTaskError(_why(problem))
        contacts = _contacts(problem, choice)
        shown = {"gap": 0.0, "bound": choice.cost, "status": "optimal"}
    return _plan(task, contacts, seconds=time.perf_counter() - began, method=method, **shown)


@dataclass(frozen=True)
class _Contacts:
    """Where two fingers are on the object and how they push, in facet coordinates; shapes as in :class:`FingerPlan`."""

    facets: np.ndarray
    shares: np.ndarray
    forces: np.ndarray  # (T, 2, 2) normal and tangential, N
    ground: np.ndarray  # (T, 4) along ground rays, N
    cost: float


def _contacts(problem: ContactProblem, choice: Choice) -> _Contacts:
    facets, shares = problem.facets[choice.contacts], problem.shares[choice.contacts]
    return _Contacts(facets, shares, choice.forces[:, :4].reshape(-1, 2, 2), choice.forces[:, 4:], choice.cost)


def _by_program(
    task: Task, options: PlannerOptions, solver: str, gap: float, time_limit: float
) -> tuple[_Contacts, miqp.Proof]:
    """The program's facets with the best points on them that fingers can keep; the next facets if there are none."""
    end = time.monotonic() + time_limit
    fine = contact_problem(task, replace(options, points_per_facet=STICKING_POINTS))
    tried: list[tuple[int, int]] = []
    while True:
        left = max(end - time.monotonic(), 0.0)
        proof = miqp.solve(task, options, solver=solver, gap=gap, time_limit=left, exclude=tried)
        if proof.status == "infeasible":
            raise UnsolvableTaskError(_why(contact_problem(task, options)))
        if proof.answer is None:
            raise ValueError(f"{solver} found no plan in {time_limit:g} s; allow more time, or plan by enumeration")
        pair = proof.answer.facets[0]
        choice = fixed_contacts(replace(fine, usable=fine.usable & np.isin(fine.facets, pair)))
        if choice is not None:
            return _contacts(fine, choice), proof
        tried.append((int(pair[0]), int(pair[1])))


def _plan(task: Task, contacts: _Contacts, **shown: Any) -> FingerPlan:
    rotations = rotation(task.poses[:, 2])
    points = task.polygon.points(contacts.facets, contacts.shares)
    fingers = task.poses[:, None, :2] + np.einsum("tij,tfj->tfi", rotations, points)
    axes = np.stack([-task.polygon.normals, task.polygon.tangents], axis=1)[contacts.facets]
    forces = np.einsum("tij,tfkj,tfk->tfi", rotations, axes, contacts.forces)
    corners, rays = ground_rays(task)
    return FingerPlan(
        fingers=fingers,
        forces=forces,
        facets=contacts.facets,
        shares=contacts.shares,
        ground_points=corners,
        ground_forces=(contacts.ground[..., None] * rays).reshape(-1, 2, 2, 2).sum(axis=2),
        cost=contacts.cost,
        **shown,
    )


def _why(problem: ContactProblem) -> str:
    """Why no contact points make the motion."""
    possible = np.isfinite(pair_costs(problem)[0]).any(axis=0)
    options = problem.options
    limits = f"with friction {problem.friction:g} and forces of {options.least_force:g} to {options.most_force:g} N"
    where = "all keyframes" if possible.all() else f"keyframe {possible.argmin()}"
    return f"the task cannot be solved: no two contact points can make the motion at {where} {limits}"
