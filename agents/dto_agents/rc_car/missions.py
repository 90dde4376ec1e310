"""Planning the scenarios: their targets and cans as a cost, all sensible ways to turn, and replanning on the way.

The cost is that of equations 4 to 6: the final target with its position, heading and standstill, the way point with a
tenth of that, small and steady controls within their limits, cans to keep clear of, and what the dynamics add.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from dto_agents.rc_car.costs import Controls, Cost, Obstacles, Targets, on_branch, wrap
from dto_agents.rc_car.dynamics import Dynamics
from dto_agents.rc_car.optimisation import Plan, Problem, descend, optimise, spread_starts
from dto_envs.layouts import RC_CAR_LAYOUT
from dto_envs.rc_car.scenarios import CAN_RADIUS, CAR_WIDTH, Scenario

FINAL_WEIGHTS = (40.0, 40.0, 20.0, 2.0, 2.0, 0.1)
WAY_WEIGHTS = (5.0, 5.0, 3.0, 0.0, 0.0, 0.0)
CHANGE = 0.03  # weight of changes of the controls
FASTEST = 0.98 * RC_CAR_LAYOUT.bound  # where their barrier begins, so that it does not end beyond the limit
# Discs that cover the car's body, and the room left between its wall and a can.
DISCS = (-0.12, 0.0, 0.12)
DISC_RADIUS = math.hypot(0.06, CAR_WIDTH / 2)
MARGIN = 0.05
# A target heading within so much of half a turn away can be reached turning left or right.
EITHER_WAY = 0.6


@dataclass(frozen=True, eq=False)
class Mission:
    """What a scenario asks for from some moment on, with target headings on one branch.

    Attributes:
        scenario: the scenario.
        headings: of the way point and of the target, rad, not wrapped.
        steps: control steps that are left.
        dt: seconds that a control is held.
    """

    scenario: Scenario
    headings: tuple[float, float]
    steps: int
    dt: float

    def cost(self, dynamics: Dynamics, previous: np.ndarray | None) -> Cost:
        """The cost of the steps that are left for ``dynamics``, after the action ``previous`` (2,)."""
        scenario, total = self.scenario, round(self.scenario.target.time / self.dt)
        done = total - self.steps
        goals = zip((scenario.way_point, scenario.target), self.headings, (WAY_WEIGHTS, FINAL_WEIGHTS), strict=True)
        wanted = [
            (round(goal.time / self.dt) - done, [*goal.pose[:2], heading, 0.0, 0.0, 0.0], weights)
            for goal, heading, weights in goals
            if round(goal.time / self.dt) > done
        ]
        steps, states, weights = zip(*wanted, strict=True)
        terms = [
            Targets(np.array(steps), np.array(states), np.array(weights)),
            Controls(change=CHANGE, fastest=FASTEST, previous=previous),
            *dynamics.terms(),
        ]
        if scenario.cans:
            clearances = np.full(len(scenario.cans), DISC_RADIUS + CAN_RADIUS + MARGIN)
            terms.append(Obstacles(np.array(scenario.cans), clearances, DISCS))
        return Cost(tuple(terms))


def missions(scenario: Scenario, start_heading: float, dt: float) -> tuple[Mission, ...]:
    """The scenario from its start with each sensible branch of its headings."""
    way = on_branch(scenario.way_point.pose[2], start_heading)
    end = on_branch(scenario.target.pose[2], way)
    turn = float(wrap(end - way))
    ends = [end] if math.pi - abs(turn) > EITHER_WAY else [end, end - math.copysign(2 * math.pi, turn)]
    steps = round(scenario.target.time / dt)
    return tuple(Mission(scenario, (way, heading), steps, dt) for heading in ends)


@dataclass(frozen=True)
class Effort:
    """How hard to plan.

    Attributes:
        starts: number of starts per branch of the first plan.
        iterations: most iterations of the first plan's best starts.
        polish_iterations: most iterations that make the first plan hold for cars that differ a little from the model.
        doubt: by how much they differ, see :class:`dto_agents.rc_car.optimisation.Problem`; 0 for not at all.
        replan_iterations: most iterations when replanning from the plan before.
    """

    starts: int = 6
    iterations: int = 100
    polish_iterations: int = 60
    doubt: float = 0.05
    replan_iterations: int = 15


def plan_mission(
    dynamics: Dynamics,
    scenario: Scenario,
    state: np.ndarray,
    *,
    past: np.ndarray | None = None,
    previous: np.ndarray | None = None,
    effort: Effort = Effort(),  # noqa: B008  frozen
) -> tuple[Mission, Plan]:
    """Plan a scenario from its start.

    Args:
        dynamics: the car.
        scenario: what is asked for.
        state: (S,) where the car is, as the dynamics take it.
        past: actions before the first, see :class:`dto_agents.rc_car.optimisation.Problem`.
        previous: (2,) the last of them, from which changes are counted; None for no such.
        effort: how hard to plan.

    Returns:
        The branch that was cheapest and the plan; that may have diverged where all did.
    """
    found = []
    for mission in missions(scenario, float(state[2]), dynamics.dt):
        problem = Problem(dynamics, mission.cost(dynamics, previous), state, past)
        starts = spread_starts(problem, mission.steps, effort.starts)
        plan = optimise(problem, starts, iterations=effort.iterations)
        if effort.doubt and plan.found is not None:
            problem = replace(problem, doubt=effort.doubt)
            plan = descend(problem, plan.controls, iterations=effort.polish_iterations)
        found.append((mission, plan))
    return min(found, key=lambda entry: entry[1].cost if entry[1].found is not None else math.inf)


def replan_mission(
    dynamics: Dynamics,
    mission: Mission,
    state: np.ndarray,
    remaining: np.ndarray,
    *,
    past: np.ndarray | None = None,
    previous: np.ndarray | None = None,
    effort: Effort = Effort(),  # noqa: B008  frozen
) -> Plan:
    """Plan the rest of a scenario from where the car is now.

    Args:
        dynamics: the car.
        mission: the branch chosen at the start, with the steps that are left.
        state: (S,) where the car is.
        remaining: (steps, 2) controls to begin with: what is left of the plan before.
        past: as in :func:`plan_mission`.
        previous: as in :func:`plan_mission`.
        effort: how hard to plan.
    """
    problem = Problem(dynamics, mission.cost(dynamics, previous), state, past)
    return descend(problem, remaining, iterations=effort.replan_iterations)
