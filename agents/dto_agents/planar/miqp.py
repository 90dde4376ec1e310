"""Contact planning as a mixed-integer quadratic program, solved to a proven gap.

Equations 11 and 12 of the DLM paper, with a binary for each facet that a finger may keep (or, where contacts may
change, for each one at each keyframe, and a unit flow through them). Normal forces act at the two ends of a facet's
middle part, and their ratio says where between them the contact is, so that torques are linear and exact. Dynamics are
hard constraints. A squared force f that binary z selects is bounded from below by tangents of its perspective function,
``q >= 2 a f - a^2 z``: the mixed-integer linear program over them gives a lower bound, the exact forces on its facets
an upper bound and the next tangents, until the two meet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy import sparse

from dto_agents.planar.facets import FacetForces, FacetTable, facet_forces, facet_table
from dto_agents.planar.mechanics import ContactProblem, PlannerOptions, contact_problem
from dto_envs.planar_push.tasks import Task

Contacts = Literal["fixed", "changing"]

# First tangents of the squared normal and tangential forces, in N, beside those at zero and at the limits.
NORMAL_TANGENTS = (3.0, 6.0, 12.0, 24.0)
TANGENTIAL_TANGENTS = (2.0, 8.0)
ROUNDS = 20


@dataclass(frozen=True)
class Proof:
    """What a solver has shown.

    Attributes:
        answer: the best facets and forces found; None where there are none.
        bound: nothing costs less.
        status: ``optimal`` (to the gap asked for), ``time limit`` or ``infeasible``.
    """

    answer: FacetForces | None
    bound: float
    status: str

    @property
    def gap(self) -> float:
        """(cost - bound) / cost."""
        if self.answer is None:
            return np.inf
        return max(self.answer.cost - self.bound, 0.0) / max(self.answer.cost, 1e-12)


@dataclass
class _Program:
    """A mixed-integer linear program under construction: cost @ x, lower <= rows @ x <= upper, low <= x <= high."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)

    def variables(self, shape: tuple[int, ...], low: float, high: float, *, integer: bool = False) -> np.ndarray:
        """Indices (*shape) of new variables between ``low`` and ``high`` that cost nothing."""
        count, start = int(np.prod(shape)), len(self.cost)
        self.cost += [0.0] * count
        self.low += [low] * count
        self.high += [high] * count
        self.integer += [integer] * count
        return np.arange(start, start + count).reshape(shape)

    def rows(self, columns: np.ndarray, values: np.ndarray | float, lower: float, upper: float) -> None:
        """Constraints: row r has ``values[r]`` at ``columns[r]``, both (R, K); zeros are left out."""
        columns, values = np.atleast_2d(columns), np.broadcast_to(values, np.atleast_2d(columns).shape)
        start, (count, _) = len(self.lower), columns.shape
        row = np.repeat(np.arange(start, start + count), columns.shape[1])
        keep = values.ravel() != 0.0
        self.entries.append((row[keep], columns.ravel()[keep], values.ravel()[keep]))
        self.lower += [lower] * count
        self.upper += [upper] * count

    def matrix(self) -> sparse.csc_array:
        """The constraints' matrix."""
        row, column, value = (np.concatenate(parts) for parts in zip(*self.entries, strict=True))
        return sparse.csc_array((value, (row, column)), shape=(len(self.lower), len(self.cost)))


@dataclass(frozen=True)
class _Squares:
    """Variables q >= f^2, by tangents of the perspective function where a binary z selects f."""

    squares: np.ndarray
    forces: np.ndarray
    selectors: np.ndarray | None

    def cut(self, program: _Program, at: np.ndarray, where: np.ndarray | slice = slice(None)) -> None:
        """Tangents at forces ``at`` to the squares ``where``."""
        q, f = self.squares[where].ravel(), self.forces[where].ravel()
        at = np.broadcast_to(at, self.squares[where].shape).ravel()
        if self.selectors is None:
            for square, force, point in zip(q, f, at, strict=True):
                program.rows(np.array([square, force]), np.array([1.0, -2.0 * point]), -point * point, np.inf)
            return
        z = self.selectors[where].ravel()
        values = np.stack([np.ones_like(at), -2.0 * at, at * at], axis=1)
        program.rows(np.stack([q, f, z], axis=1), values, 0.0, np.inf)


class _Formulation:
    """The program of one task."""

    def __init__(self, problem: ContactProblem, facets: FacetTable, contacts: Contacts) -> None:
        self.problem, self.facets, self.contacts = problem, facets, contacts
        self.program = _Program()
        self._select()
        self._forces()

    def _select(self) -> None:
        """Binaries z (2, T, F) that say where each finger is; over time the same variables where contacts are fixed."""
        facets, program = self.facets, self.program
        keyframes, count = facets.usable.shape
        if self.contacts == "fixed":
            choices = program.variables((2, 1, count), 0.0, 1.0, integer=True)
            self.z = np.repeat(choices, keyframes, axis=1)
        else:
            self.z = choices = program.variables((2, keyframes, count), 0.0, 1.0, integer=True)
            self._flows()
        program.rows(choices.reshape(-1, count), 1.0, 1.0, 1.0)
        program.rows(np.moveaxis(choices, 0, -1).reshape(-1, 2), 1.0, -np.inf, 1.0)
        for of_finger in self.z:
            columns = zip(of_finger.ravel(), facets.node_cost.ravel(), facets.usable.ravel(), strict=True)
            for variable, cost, usable in columns:
                program.cost[variable] += cost
                program.high[variable] *= usable
        # The fingers could be exchanged: the first is further left at the first keyframe.
        order = np.concatenate([facets.x, -facets.x])
        program.rows(choices[:, 0].reshape(1, -1), order, -np.inf, 0.0)

    def exclude(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Forbid the fingers to be on ``pairs`` of facets together, in either order."""
        for one, two in pairs:
            for first, second in ((one, two), (two, one)):
                columns = np.stack([self.z[0, :, first], self.z[1, :, second]], axis=1)
                self.program.rows(columns, 1.0, -np.inf, 1.0)

    def _flows(self) -> None:
        """Moving from facet i to j costs slip: a unit flow between the binaries of consecutive keyframes."""
        keyframes, count = self.facets.usable.shape
        for finger in range(2):
            for t in range(keyframes - 1):
                flow = self.program.variables((count, count), 0.0, 1.0)
                for arc, cost in zip(flow.ravel(), self.facets.slip.ravel(), strict=True):
                    self.program.cost[arc] = cost
                for arcs, keyframe in ((flow, t), (flow.T, t + 1)):
                    columns = np.concatenate([arcs, self.z[finger, keyframe][:, None]], axis=1)
                    self.program.rows(columns, np.append(np.ones(count), -1.0), 0.0, 0.0)

    def _forces(self) -> None:
        problem, program, options = self.problem, self.program, self.problem.options
        keyframes, count = self.facets.usable.shape
        shape, most = (2, keyframes, count), options.most_force
        self.ends = program.variables((*shape, 2), 0.0, most)
        self.normal = program.variables(shape, 0.0, most)
        self.tangential = program.variables(shape, -problem.friction * most, problem.friction * most)
        self.ground = program.variables((keyframes, problem.ground_maps.shape[2]), 0.0, np.inf)
        total = np.concatenate([self.ends.reshape(-1, 2), self.normal.reshape(-1, 1)], axis=1)
        program.rows(total, np.array([1.0, 1.0, -1.0]), 0.0, 0.0)
        pair = np.stack([self.normal.ravel(), self.z.ravel()], axis=1)
        program.rows(pair, np.array([1.0, -options.least_force]), 0.0, np.inf)
        program.rows(pair, np.array([1.0, -most]), -np.inf, 0.0)
        cone = np.stack([self.tangential.ravel(), self.normal.ravel()], axis=1)
        program.rows(cone, np.array([1.0, -problem.friction]), -np.inf, 0.0)
        program.rows(cone, np.array([1.0, problem.friction]), 0.0, np.inf)
        for t in range(keyframes):
            columns = np.concatenate([self.ends[:, t].ravel(), self.tangential[:, t].ravel(), self.ground[t]])
            for axis in range(3):
                normal = np.tile(problem.maps[t, :, axis, 0], 2)
                tangential = np.tile(problem.maps[t, ::2, axis, 1], 2)
                values = np.concatenate([normal, tangential, problem.ground_maps[t, axis]])
                required = problem.required[t, axis]
                program.rows(columns, values, required, required)
        self._square(shape)

    def _square(self, shape: tuple[int, ...]) -> None:
        program, problem = self.program, self.problem
        self.squares = {
            "normal": _Squares(program.variables(shape, 0.0, np.inf), self.normal, self.z),
            "tangential": _Squares(program.variables(shape, 0.0, np.inf), self.tangential, self.z),
            "ground": _Squares(program.variables(self.ground.shape, 0.0, np.inf), self.ground, None),
        }
        for name, squares in self.squares.items():
            weight = problem.ground_weight if name == "ground" else problem.finger_weight
            for variable in squares.squares.ravel():
                program.cost[variable] = weight
        for at in (problem.options.least_force, *NORMAL_TANGENTS):
            self.squares["normal"].cut(program, np.array(at))
        for at in TANGENTIAL_TANGENTS:
            self.squares["tangential"].cut(program, np.array(at))
            self.squares["tangential"].cut(program, np.array(-at))

    def facets_of(self, solution: np.ndarray) -> np.ndarray:
        """Facets (T, 2) in a solution of the program."""
        return solution[self.z].argmax(axis=2).T

    def refine(self, answer: FacetForces) -> None:
        """Tangents at the exact forces, so that the bound at these facets becomes exact."""
        for name, forces in (("normal", answer.ends.sum(-1)), ("tangential", answer.tangential)):
            for finger in range(2):
                for t, facet in enumerate(answer.facets[:, finger]):
                    where = np.zeros(self.normal.shape, dtype=bool)
                    where[finger, t, facet] = True
                    self.squares[name].cut(self.program, np.array(forces[t, finger]), where)
        self.squares["ground"].cut(self.program, answer.ground)


def solve(
    task: Task,
    options: PlannerOptions | None = None,
    contacts: Contacts = "fixed",
    *,
    solver: str = "highs",
    gap: float = 1e-3,
    time_limit: float = 60.0,
    exclude: Sequence[tuple[int, int]] = (),
) -> Proof:
    """Solve the mixed-integer program of ``task``.

    Args:
        task: the task.
        options: the planner's options; ``points_per_facet`` does not matter.
        contacts: whether each finger keeps its facet or may change it at keyframes.
        solver: HiGHS (in scipy) or SCIP (needs pyscipopt).
        gap: relative gap at which to stop.
        time_limit: seconds after which to stop with what is there.
        exclude: pairs of facets that the two fingers must not take together, in either order.

    Raises:
        dto_envs.registry.MissingExtraError: SCIP is asked for and not installed.
        ValueError: no such solver or way of contact.
    """
    if solver not in _SOLVERS:
        raise ValueError(f"there is no solver {solver!r}; choose from {', '.join(_SOLVERS)}")
    if contacts not in ("fixed", "changing"):
        raise ValueError(f"contacts must be 'fixed' or 'changing', not {contacts!r}")
    # Two points to a facet: the ends between which the contact may lie.
    problem = contact_problem(task, replace(options or PlannerOptions(), points_per_facet=2))
    facets = facet_table(problem)
    formulation = _Formulation(problem, facets, contacts)
    formulation.exclude(exclude)
    end = time.monotonic() + time_limit
    best: FacetForces | None = None
    bound = -np.inf
    for _ in range(ROUNDS):
        left = end - time.monotonic()
        if left <= 0:
            break
        solution, value = _SOLVERS[solver](formulation.program, 0.25 * gap, left)
        bound = max(bound, value)
        if solution is None:
            if np.isposinf(value):
                return Proof(best, bound, "infeasible" if best is None else "optimal")
            break
        answer = facet_forces(problem, facets, formulation.facets_of(solution))
        if answer is not None:
            if best is None or answer.cost < best.cost:
                best = answer
            formulation.refine(answer)
        if best is not None and best.cost - bound <= gap * best.cost:
            return Proof(best, bound, "optimal")
    return Proof(best, bound, "time limit")


def _highs(program: _Program, gap: float, seconds: float) -> tuple[np.ndarray | None, float]:
    """A solution (None without one) and a lower bound (infinite where infeasible), by HiGHS."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    result = milp(
        np.array(program.cost),
        integrality=np.array(program.integer, dtype=int),
        bounds=Bounds(*(np.array(side) for side in (program.low, program.high))),  # type: ignore[arg-type]
        constraints=LinearConstraint(program.matrix(), program.lower, program.upper),  # type: ignore[arg-type]
        options={"mip_rel_gap": gap, "time_limit": seconds},
    )
    if result.status == 2:
        return None, np.inf
    bound = result.mip_dual_bound if result.mip_dual_bound is not None else -np.inf
    return result.x, float(bound)


def _scip(program: _Program, gap: float, seconds: float) -> tuple[np.ndarray | None, float]:
    """The same by SCIP."""
    from dto_envs.registry import require

    require("planar", "pyscipopt")
    import pyscipopt

    model = pyscipopt.Model()
    model.hideOutput()
    model.setParam("limits/gap", gap)
    model.setParam("limits/time", seconds)
    columns = zip(program.cost, program.low, program.high, program.integer, strict=True)
    variables = [
        model.addVar(vtype="B" if integer else "C", lb=low, ub=None if np.isinf(high) else high, obj=cost)
        for cost, low, high, integer in columns
    ]
    matrix = sparse.csr_array(program.matrix())
    for row, (lower, upper) in enumerate(zip(program.lower, program.upper, strict=True)):
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        terms = zip(matrix.indices[span], matrix.data[span], strict=True)
        total = pyscipopt.quicksum(value * variables[column] for column, value in terms)
        if lower == upper:
            model.addCons(total == lower)
            continue
        if np.isfinite(lower):
            model.addCons(total >= lower)
        if np.isfinite(upper):
            model.addCons(total <= upper)
    model.optimize()
    if model.getStatus() == "infeasible":
        return None, np.inf
    found = model.getNSols() > 0
    solution = np.array([model.getVal(variable) for variable in variables]) if found else None
    return solution, float(model.getDualbound())


_SOLVERS = {"highs": _highs, "scip": _scip}
