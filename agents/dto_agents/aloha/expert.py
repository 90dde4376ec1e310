"""The expert agent of ALOHA's tasks: a script for each hand, performed by a person's strokes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from dto_agents.aloha import cube, desk, insertion, stack
from dto_agents.aloha.kinematics import ArmKinematics
from dto_agents.aloha.strokes import Hand, StrokeStyle
from dto_agents.aloha.view import Script, View
from dto_agents.simple import state_of
from dto_envs.aloha.scene import TASKS
from dto_envs.registry import row


@dataclass(frozen=True)
class Performance:
    """What an expert knows of its task.

    Attributes:
        scripts: what each hand does, in the order of the arms.
        style: how the demonstrations' hands move.
    """

    scripts: tuple[Callable[[View], Script], ...]
    style: StrokeStyle = field(default_factory=StrokeStyle)


PERFORMANCES: Mapping[str, Performance] = MappingProxyType(
    {
        "AlohaTransferCube": Performance((cube.left, cube.right)),
        "AlohaInsertion": Performance((insertion.left, insertion.right)),
        "AlohaArrangeDesk": Performance(
            (desk.left, desk.right),
            StrokeStyle(speed=0.16, turn_speed=0.6, gripping=1.0, tremor_time=0.5, aim_limit=0.006),
        ),
        "AlohaMoveStack": Performance(
            (stack.left,), StrokeStyle(speed=0.10, turn_speed=0.3, gripping=1.5, tremor=0.0005, tremor_turn=0.002)
        ),
    }
)


class AlohaExpert:
    """An agent that acts on the current state observation, one action at a time."""

    def __init__(self, env_id: str, style: StrokeStyle | None = None) -> None:
        """The expert of ``env_id``; ``style`` is how its hands move, None for the demonstrations' style.

        Raises:
            ValueError: not a task of ALOHA's.
        """
        entry = row(env_id)
        self._task = str(entry.kwargs.get("task", ""))
        if self._task not in PERFORMANCES:
            raise ValueError(f"there is no script for {env_id}; there is for {', '.join(PERFORMANCES)}")
        self._performance = PERFORMANCES[self._task]
        self._style = style or self._performance.style
        self._dt = entry.layout.dt
        self._arms = [ArmKinematics(self._task, arm) for arm in range(len(TASKS[self._task].arms))]
        self._seeds: list[int] = []
        self._players: list[_Player | None] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        self._seeds = [int(seed) for seed in seeds]
        self._players = [None] * len(self._seeds)

    def act(self, observations: Any) -> np.ndarray:
        """Actions (B, 1, 7 per arm) float32 for state observations (B, D), or a dictionary with them as "state"."""
        states = np.asarray(state_of(observations), dtype=np.float64)
        return np.stack([self._act(index, state) for index, state in enumerate(states)]).astype(np.float32)[:, None]

    def _act(self, index: int, observation: np.ndarray) -> np.ndarray:
        view = View(self._arms, TASKS[self._task].things)
        player = self._players[index]
        if player is None:
            view.update(observation)
            rngs = [np.random.default_rng((self._seeds[index], arm)) for arm in range(len(self._arms))]
            hands = [
                Hand(self._style, rng, kinematics, self._dt, view.angles(arm), view.opening(arm))
                for arm, (rng, kinematics) in enumerate(zip(rngs, self._arms, strict=True))
            ]
            player = _Player(view, hands, [script(view) for script in self._performance.scripts])
            self._players[index] = player
        return player.act(observation)


class _Player:
    """One episode: hands that follow their scripts."""

    def __init__(self, view: View, hands: list[Hand], scripts: list[Script]) -> None:
        self._view, self._hands, self._scripts = view, hands, scripts

    def act(self, observation: np.ndarray) -> np.ndarray:
        self._view.update(observation)
        return np.concatenate([self._move(*pair) for pair in zip(self._hands, self._scripts, strict=True)])

    def _move(self, hand: Hand, script: Script) -> np.ndarray:
        if hand.resting:
            stroke = next(script, None)
            if stroke is not None:
                hand.begin(stroke)
        return hand.act()
