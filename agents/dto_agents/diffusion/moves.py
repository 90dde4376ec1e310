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

HAND = slice(0, 3)  # where Meta-World's states say where the hand is


@dataclass(frozen=True)
class Room:
    """How far what a state shows can be moved without a difference to what is to be done.

    Attributes:
        places: where the positions begin in the state that move together.
        goal: where that of the goal does.
        thing: where that of the thing to be brought there does, now and a step before.
        lying: m, height of a thing that has not been lifted: until then the goal makes no difference.
        before: (3,) largest displacements before the hand is past the obstacle, in m.
        beyond: (3,) and those behind it.
        past: y between which the ones become the others, in m.
        radius: m, of the cylinder about the thing's position that holds its points and no others while it lies alone.
        half_height: m, of that cylinder.
        alone: m between hand and thing from which on it does.
        aside: (2,) largest displacements of the thing alone along the table, for eyes that learn to tell where it lies.
    """

    places: tuple[int, ...]
    goal: int
    thing: tuple[int, int]
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
        states = states.clone()
        for place in self.places:
            states[..., place : place + 3] += displacements
        return states

    def thing_moved(self, states: Tensor, displacements: Tensor) -> Tensor:
        """States (..., D) with the thing alone moved by ``displacements`` (..., 3), in m, a step before too."""
        states = states.clone()
        for place in self.thing:
            states[..., place : place + 3] += displacements
        return states

    def lies_alone(self, states: Tensor) -> Tensor:
        """Whether in states (..., D) the thing lies and the hand is away from it; (...,) bool."""
        thing = self._thing(states)
        return (thing[..., 2] < self.lying) & ((thing - states[..., HAND]).norm(dim=-1) > self.alone)

    def on_thing(self, points: Tensor, states: Tensor) -> Tensor:
        """Which points (..., P, 3) of what is seen in states (..., D) with a thing that lies alone are its; bool."""
        apart = points - self._thing(states)[..., None, :]
        return (apart[..., :2].norm(dim=-1) < self.radius) & (apart[..., 2].abs() < self.half_height)

    def moved(self, histories: Tensor) -> Tensor:
        """Histories (B, n_obs_steps, D), in random order, with goals of others and moved at random.

        Goals are exchanged where in the newest state nothing has been lifted. Chance comes from torch's generator.
        """
        goal = slice(self.goal, self.goal + 3)
        lying = (self._thing(histories)[:, -1, 2] < self.lying)[:, None, None]
        exchanged = histories.clone()
        exchanged[..., goal] = torch.where(lying, histories.roll(1, 0)[..., goal], histories[..., goal])
        return self.displaced(exchanged, self.reach(histories[:, :1, HAND]) * chances(len(histories))[:, None])

    def _thing(self, states: Tensor) -> Tensor:
        return states[..., self.thing[0] : self.thing[0] + 3]


def chances(count: int) -> Tensor:
    """Displacements (count, 3) as shares of the largest, uniform in [-1, 1], from torch's generator."""
    return 2 * torch.rand(count, 3) - 1


# In Meta-World's states: hand, thing, both a step before, goal. The wall stands at y = 0.75 m; every puck is lifted
# over it, beside it too.
ROOMS: Mapping[str, Room] = MappingProxyType(
    {
        "dto/PickPlaceWall-v0": Room(
            places=(0, 4, 18, 22, 36),
            goal=36,
            thing=(4, 22),
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
