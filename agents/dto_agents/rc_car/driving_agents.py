"""Agents that drive the RC car by planning: open loop, receding horizon, and an expert that knows the car itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dto_agents.rc_car.costs import Controls, Cost
from dto_agents.rc_car.dynamics import AnalyticDynamics, Dynamics, LearnedDynamics
from dto_agents.rc_car.missions import FASTEST, Effort, Mission, plan_mission, replan_mission
from dto_agents.rc_car.optimisation import Problem, descend
from dto_agents.rc_car.racing import Race
from dto_agents.simple import state_of
from dto_envs.rc_car import car
from dto_envs.rc_car.env import ACTIONS, STATE
from dto_envs.rc_car.learned import read_network
from dto_envs.rc_car.manoeuvre import TARGET_TIME
from dto_envs.rc_car.race import TRACK
from dto_envs.rc_car.scenarios import SCENARIOS, Scenario
from dto_envs.rc_car.tracks import TRACKS, Track
from dto_envs.registry import row

MANOEUVRES = "dto_envs.rc_car:ManoeuvreEnv"
RACE = "dto_envs.rc_car:RaceEnv"
# The car itself has edges where tyres begin to slide: more starts, and differences that see across.
EXPERT_EFFORT = Effort(starts=10, iterations=150, replan_iterations=25)
EXPERT_SHIFT = 0.02


def scenario_of(env_id: str) -> Scenario | None:
    """The scenario of an RC-car environment, None for the race.

    Raises:
        ValueError: not an environment of the RC car.
    """
    entry = row(env_id)
    if entry.entry_point == MANOEUVRES:
        return SCENARIOS[entry.kwargs["scenario"]]
    if entry.entry_point == RACE:
        return None
    known = ", ".join(f"dto/RCCar{name}-v0" for name in (*SCENARIOS, "Race"))
    raise ValueError(f"this agent drives the RC car; {env_id} is not one of {known}")


class Observer(Protocol):
    """Tells the state that dynamics start from, from what one car's observations show."""

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """The state (S,) at an observation (D,); called once at every step of an episode."""
        ...


def observed_state(observation: np.ndarray) -> np.ndarray:
    """The six numbers that are observed, which is all that networks need."""
    return observation[STATE]


class FullState:
    """Follows the analytic car's full state: simulates what was done, and corrects it by what is observed."""

    def __init__(self, dynamics: AnalyticDynamics) -> None:
        """Follow one car of ``dynamics`` through one episode."""
        self._dynamics = dynamics
        self._state: np.ndarray | None = None

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """See :class:`Observer`."""
        seen = observation[STATE]
        parameters, dt = self._dynamics.parameters, self._dynamics.dt
        if self._state is None:
            start = car.initial_state(seen[None, :3], seen[None, 3:], parameters, dt)[0]
            self._state = start
            return start
        action = observation[ACTIONS][-2:]
        after = car.rollout(self._state[None], action[None, None], dt, parameters)[0, 1]
        surprise = seen[3:] - after[car.VELOCITY]
        after[car.INSTANT] += surprise
        after[:6] = seen
        self._state = after
        return after


class OpenLoopDriver:
    """Plans a scenario once, from its start."""

    def __init__(self, dynamics: Dynamics, observer: Observer, scenario: Scenario, effort: Effort) -> None:
        """Plan ``scenario`` with ``dynamics``."""
        self._dynamics, self._observer, self._scenario, self._effort = dynamics, observer, scenario, effort

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The whole plan, (n, 2); zeros, a car that coasts, where it diverged."""
        state = self._observer(observation)
        past, _ = recent_actions(observation, self._dynamics.recorded)
        mission, plan = plan_mission(self._dynamics, self._scenario, state, past=past, effort=self._effort)
        return np.zeros((mission.steps, 2)) if plan.found is None else plan.controls


class ManoeuvreDriver:
    """Plans a scenario from its start, and again at every step for the time that is left."""

    def __init__(self, dynamics: Dynamics, observer: Observer, scenario: Scenario, effort: Effort) -> None:
        """Drive ``scenario`` with ``dynamics``."""
        self._dynamics, self._observer, self._scenario, self._effort = dynamics, observer, scenario, effort
        self._mission: Mission | None = None
        self._rest = np.zeros((0, 2))

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The next action, (1, 2)."""
        steps = round(observation[TARGET_TIME] / self._dynamics.dt)
        if steps < 1:
            return np.zeros((1, 2))
        state = self._observer(observation)
        past, previous = recent_actions(observation, self._dynamics.recorded)
        if self._mission is None:
            effort = replace(self._effort, doubt=0.0)  # what the model gets wrong will be seen
            self._mission, plan = plan_mission(self._dynamics, self._scenario, state, past=past, effort=effort)
            rest = np.zeros((steps, 2))
        else:
            self._mission = replace(self._mission, steps=steps)
            rest = self._rest
            plan = replan_mission(
                self._dynamics, self._mission, state, rest, past=past, previous=previous, effort=self._effort
            )
        controls = rest if plan.found is None else plan.controls
        self._rest = controls[1:]
        return controls[:1]


@dataclass(frozen=True)
class Racing:
    """How to race.

    Attributes:
        speed: wanted speed along the track, m/s.
        steps: steps of the receding horizon.
        iterations: most iterations at every tick, the first one's tenfold.
        margin: how far from the edges the barrier begins, m.
    """

    speed: float = 2.3
    steps: int = 20
    iterations: int = 10
    margin: float = 0.15


class RaceDriver:
    """Plans the next second of a race at every step, beginning with what is left of the plan before."""

    def __init__(self, dynamics: Dynamics, observer: Observer, racing: Racing) -> None:
        """Race with ``dynamics``; the track is observed."""
        self._dynamics, self._observer, self._racing = dynamics, observer, racing
        self._rest: np.ndarray | None = None
        self.diverged = 0

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The next action, (1, 2)."""
        track = list(TRACKS.values())[int(observation[TRACK])]
        past, previous = recent_actions(observation, self._dynamics.recorded)
        return self.plan(track, self._observer(observation), past, previous)[:1]

    def plan(self, track: Track, state: np.ndarray, past: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """Controls (steps, 2) for the time ahead, the next plan's beginning; the old ones where planning diverged."""
        racing, first = self._racing, self._rest is None
        start = np.tile([0.3, 0.0], (racing.steps, 1)) if self._rest is None else self._rest
        problem = Problem(self._dynamics, self._cost(track, previous), state, past)
        found = descend(problem, start, iterations=racing.iterations * (10 if first else 1))
        self.diverged += found.found is None
        controls = start if found.found is None else found.controls
        self._rest = later(controls, 1.0)
        return controls

    def shift(self, controls: np.ndarray, by: float) -> None:
        """Begin the next plan with ``controls``, ``by`` steps later: plans may follow each other faster than steps."""
        self._rest = later(controls, by)

    def _cost(self, track: Track, previous: np.ndarray) -> Cost:
        race = Race(track, self._racing.speed, self._dynamics.dt, self._racing.margin)
        effort = Controls(fastest=FASTEST, previous=previous)
        return Cost((race, effort, *self._dynamics.terms()))


def later(controls: np.ndarray, by: float) -> np.ndarray:
    """Controls (n, 2) seen ``by`` steps later: between those of two steps on a straight line, the last one held."""
    places = np.minimum(np.arange(len(controls)) + by, len(controls) - 1)
    left = places.astype(int)
    right = np.minimum(left + 1, len(controls) - 1)
    share = (places - left)[:, None]
    return controls[left] * (1 - share) + controls[right] * share


def recent_actions(observation: np.ndarray, recorded: int) -> tuple[np.ndarray, np.ndarray]:
    """The last actions (recorded, 2), oldest first, and the very last one (2,), of an observation (D,)."""
    actions = observation[ACTIONS].reshape(-1, 2)
    if recorded > len(actions):
        raise ValueError(f"the model reads {recorded} past actions; the environment shows {len(actions)}")
    return actions[len(actions) - recorded :], actions[-1]


class DrivingAgent:
    """One driver per episode; rows do not know of each other."""

    def __init__(self, make_driver: Callable[[], Any], n_action_steps: int | None = None) -> None:
        """Drive with what ``make_driver`` makes for each episode; ``n_action_steps`` as agents may set it."""
        self._make_driver = make_driver
        self._drivers: list[Any] = []
        self._last: list[tuple[np.ndarray, np.ndarray] | None] = []
        if n_action_steps is not None:
            self.n_action_steps = n_action_steps

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed; nothing is random."""
        self._drivers = [self._make_driver() for _ in seeds]
        self._last = [None] * len(seeds)

    def act(self, observations: Any) -> np.ndarray:
        """Actions (B, T, 2) float32 for state observations (B, D), or a dictionary with them as "state"."""
        states = np.asarray(state_of(observations), dtype=np.float64)
        return np.stack([self._act(index, state) for index, state in enumerate(states)]).astype(np.float32)

    def _act(self, index: int, observation: np.ndarray) -> np.ndarray:
        last = self._last[index]
        if last is not None and np.array_equal(last[0], observation):
            return last[1]  # the episode is over
        action = self._drivers[index].act(observation)
        self._last[index] = (observation.copy(), action)
        return action


def planned_scenario(name: str, env_id: str) -> Scenario | None:
    """As :func:`scenario_of`; raises ValueError too where the agent called ``name`` cannot drive ``env_id``."""
    scenario = scenario_of(env_id)
    if scenario is None and name == "rc-car-plan":
        raise ValueError(f"rc-car-plan plans a scenario to its end; for {env_id} take rc-car-mpc")
    return scenario


def make_plan_agent(env_id: str, path: Path, effort: Effort = Effort()) -> DrivingAgent:  # noqa: B008  frozen
    """``rc-car-plan``: the whole plan of a scenario on the network in ``path`` as one chunk.

    Raises:
        ValueError: not a scenario of the RC car, or no such network.
    """
    scenario = planned_scenario("rc-car-plan", env_id)
    assert scenario is not None
    dynamics = LearnedDynamics(read_network(path))
    return DrivingAgent(lambda: OpenLoopDriver(dynamics, observed_state, scenario, effort))


def make_mpc_agent(
    env_id: str,
    path: Path,
    effort: Effort = Effort(),  # noqa: B008  frozen
    racing: Racing = Racing(),  # noqa: B008  frozen
) -> DrivingAgent:
    """``rc-car-mpc``: replans at every step on the network in ``path``; raises as :func:`make_plan_agent`."""
    scenario = scenario_of(env_id)
    dynamics = LearnedDynamics(read_network(path))
    if scenario is None:
        return DrivingAgent(lambda: RaceDriver(dynamics, observed_state, racing))
    return DrivingAgent(lambda: ManoeuvreDriver(dynamics, observed_state, scenario, effort))


def make_expert(env_id: str) -> DrivingAgent:
    """``expert``: the same on the analytic car itself; raises as :func:`make_plan_agent`."""
    scenario = scenario_of(env_id)
    dynamics = AnalyticDynamics(shift=EXPERT_SHIFT)
    if scenario is None:
        return DrivingAgent(lambda: RaceDriver(dynamics, FullState(dynamics), Racing()))
    return DrivingAgent(lambda: ManoeuvreDriver(dynamics, FullState(dynamics), scenario, EXPERT_EFFORT))
