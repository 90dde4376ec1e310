"""Demonstrations moved through the room that a task has: hand, what it holds and where it belongs move together.

A hand that brings something somewhere moves as it would a few centimetres further, where nothing is in the way. Thirty
demonstrations do not show this: their goals lie far apart, and at the edges of where goals may be there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from dto_agents.experts.metaworld import BEFORE, GOAL, HAND, OBJECT

# Where positions begin in Meta-World's states: the thing's, now and a step before, and of all that moves together.
_THING = (OBJECT.start, BEFORE + OBJECT.start)
_TOGETHER = (HAND.start, BEFORE + HAND.start, *_THING, GOAL.start)


@dataclass(frozen=True)
class Room:
    """How far what a state shows can be moved without a difference to what is to be done.

    Attributes:
        lying: m, height of a thing that has not been lifted: until then the goal makes no difference.
        before: (3,) largest displacements before the hand is past the obstacle, in m.
        beyond: (3,) and those behind it.
        past: y between which the ones become the others, in m.
        radius: m, of the cylinder about the thing's position that holds its points and no others while it lies alone.
        half_height: m, of that cylinder.
        alone: m between hand and thing from which on it does.
        aside: (2,) largest displacements of the thing alone along the table, for eyes that learn to tell where it lies.
    """

    lying: float
    before: tuple[float, float, float]
    beyond: tuple[float, float, float]
    past: tuple[float, float]
    radius: float
    half_height: float
    alone: float
    aside: tuple[float, float]

    def reach(self, hands: Tensor) -> Tensor:
        """Largest displacements (..., 3) of what is seen while the hand is at ``hands`` (..., 3), in m."""
        start, end = self.past
        share = ((hands[..., 1:2] - start) / (end - start)).clamp(0.0, 1.0)
        before, beyond = hands.new_tensor(self.before), hands.new_tensor(self.beyond)
        return before + share * (beyond - before)

    def displaced(self, states: Tensor, displacements: Tensor) -> Tensor:
        """States (..., D) with all that moves together moved by ``displacements`` (..., 3), in m."""
        return _displaced(states, _TOGETHER, displacements)

    def thing_moved(self, states: Tensor, displacements: Tensor) -> Tensor:
        """States (..., D) with the thing alone moved by ``displacements`` (..., 3), in m, a step before too."""
        return _displaced(states, _THING, displacements)

    def lies_alone(self, states: Tensor) -> Tensor:
        """Whether in states (..., D) the thing lies and the hand is away from it; (...,) bool."""
        thing = states[..., OBJECT]
        return (thing[..., 2] < self.lying) & ((thing - states[..., HAND]).norm(dim=-1) > self.alone)

    def on_thing(self, points: Tensor, states: Tensor) -> Tensor:
        """Which points (..., P, 3) of what is seen in states (..., D) with a thing that lies alone are its; bool."""
        apart = points - states[..., None, OBJECT]
        return (apart[..., :2].norm(dim=-1) < self.radius) & (apart[..., 2].abs() < self.half_height)

    def moved(self, histories: Tensor) -> Tensor:
        """Histories (B, n_obs_steps, D), in random order, with goals of others and moved at random.

        Goals are exchanged where in the newest state nothing has been lifted. Chance comes from torch's generator.
        """
        lying = (histories[:, -1, OBJECT][:, 2] < self.lying)[:, None, None]
        exchanged = histories.clone()
        exchanged[..., GOAL] = torch.where(lying, histories.roll(1, 0)[..., GOAL], histories[..., GOAL])
        return self.displaced(exchanged, self.reach(histories[:, :1, HAND]) * chances(len(histories))[:, None])


def _displaced(states: Tensor, places: tuple[int, ...], displacements: Tensor) -> Tensor:
    states = states.clone()
    for place in places:
        states[..., place : place + 3] += displacements
    return states


def chances(count: int) -> Tensor:
    """Displacements (count, 3) as shares of the largest, uniform in [-1, 1], from torch's generator."""
    return 2 * torch.rand(count, 3) - 1


# The wall stands at y = 0.75 m; every puck is lifted over it, beside it too.
ROOMS: Mapping[str, Room] = MappingProxyType(
    {
        "dto/PickPlaceWall-v0": Room(
            lying=0.03,
            before=(0.04, 0.0, 0.0),
            beyond=(0.04, 0.03, 0.05),
            past=(0.78, 0.82),
            radius=0.035,
            half_height=0.03,
            alone=0.08,
            aside=(0.06, 0.03),
        )
    }
)


def room(env_id: str) -> Room:
    """The room of ``env_id``.

    Raises:
        ValueError: its demonstrations cannot be moved.
    """
    if env_id not in ROOMS:
        raise ValueError(f"{env_id} has no room to move its demonstrations in; only {', '.join(ROOMS)} has")
    return ROOMS[env_id]
