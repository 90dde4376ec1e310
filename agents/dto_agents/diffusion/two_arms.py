"""Two arms that work side by side: windows put together from what each of them did in different demonstrations.

In demonstrations both arms work at the speed of one person, so that how far the one is tells how far the other is. A
policy that learned this is lost as soon as one arm needs a second try. While neither arm waits for what the other does,
any pair of their moments could have been demonstrated.

And what has been put away lies somewhere else in every demonstration. By it a network can tell them apart and learn the
rest by heart, though it makes no difference to what remains to be done: there it could lie as in any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from dto_agents.experts import transport

WALLS = 0.9  # m, height of a hammer that leaves its bin
LYING = 0.86  # m, height of what is put away at most
CLEARANCE = 0.1  # m between what is put away and the gripper that did it
REACH = 0.25  # m between the hammer and the second gripper from which on they may have to do with each other


@dataclass(frozen=True)
class PutAway:
    """A thing that nobody touches any more once it lies where it belongs.

    Attributes:
        pose: where its position begins in the state; its quaternion follows.
        gripper: where that of the gripper begins that puts it there.
        between: where its position minus the gripper's does.
        low: lowest corner (3,) of the box in which it belongs, in the world, in m.
        high: highest corner.
    """

    pose: int
    gripper: int
    between: int
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def done(self, histories: Tensor) -> Tensor:
        """Whether in all states of histories (B, n_obs_steps, D) it lies there and the gripper is gone; (B,) bool."""
        place = _three(histories, self.pose)
        inside = (place > place.new_tensor(self.low)) & (place < place.new_tensor(self.high))
        away = (place - _three(histories, self.gripper)).norm(dim=-1) > CLEARANCE
        return (inside.all(-1) & away).all(-1)

    def exchanged(self, histories: Tensor, others: Tensor) -> Tensor:
        """Histories (B, n_obs_steps, D) in which it lies as in ``others``, where it is put away in both."""
        changed = (self.done(histories) & self.done(others))[:, None, None]
        histories, pose = histories.clone(), slice(self.pose, self.pose + 7)
        histories[..., pose] = torch.where(changed, others[..., pose], histories[..., pose])
        between = _three(histories, self.pose) - _three(histories, self.gripper)
        histories[..., self.between : self.between + 3] = torch.where(changed, between, _three(histories, self.between))
        return histories


@dataclass(frozen=True)
class TwoArms:
    """What a state says of the second arm and what only it handles, and when the arms do not look at each other.

    Attributes:
        observed: indices of the state that belong to the second arm and its thing.
        acted: indices of its actions.
        thing: where the position of the thing that is handed over begins in the state.
        gripper: where that of the second gripper does.
        between: where the thing's position minus the second gripper's does.
        cleared: index of the flag that the second arm's own work is done.
        put_away: what each arm puts away before.
    """

    observed: tuple[int, ...]
    acted: tuple[int, ...]
    thing: int
    gripper: int
    between: int
    cleared: int
    put_away: tuple[PutAway, ...]

    def first_alone(self, states: Tensor) -> Tensor:
        """Whether in states (..., D) the first arm's motion does not depend on the second arm; (...,) bool."""
        return _three(states, self.between).norm(dim=-1) > REACH

    def fits(self, first: Tensor, second: Tensor) -> Tensor:
        """Whether the second arm of states (..., D) could move as it does beside the first arm of others; bool.

        While it works on its own thing it always could; afterwards, while it waits, beside a thing that has not been
        lifted either.
        """
        lying = (_three(first, self.thing)[..., 2] < WALLS) & (_three(second, self.thing)[..., 2] < WALLS)
        return self.first_alone(first) & ((second[..., self.cleared] == 0) | lying)

    def together(self, first: Tensor, second: Tensor) -> Tensor:
        """States (..., D) of the first arm in ``first`` beside the second arm in ``second``."""
        states = first.clone()
        states[..., self.observed] = second[..., self.observed]
        between = slice(self.between, self.between + 3)
        states[..., between] = _three(states, self.thing) - _three(states, self.gripper)
        return states


def _three(states: Tensor, start: int) -> Tensor:
    return states[..., start : start + 3]


# Of Transport's state: pose of the trash, its bin, the flag, trash minus gripper, and the second gripper.
_TRASH = (*range(7, 14), *range(24, 27), 28, *range(38, 41), *range(50, 59))


def _beside(pose: int, middle: np.ndarray, reach: float, *, gripper: int, between: int) -> PutAway:
    """What lies on the table or the floor of a bin there, up to ``reach`` from the middle (2,)."""
    low, high = middle - reach, middle + reach
    return PutAway(pose, gripper, between, (low[0], low[1], 0.0), (high[0], high[1], LYING))


TWO_ARMS: Mapping[str, TwoArms] = MappingProxyType(
    {
        "dto/Transport-v0": TwoArms(
            _TRASH,
            tuple(range(7, 14)),
            thing=0,
            gripper=50,
            between=35,
            cleared=28,
            put_away=(
                _beside(7, transport.TRASH_BIN, transport.BIN_REACH, gripper=50, between=38),
                _beside(14, transport.LID_PLACE, 0.08, gripper=41, between=32),
            ),
        )
    }
)


def two_arms(env_id: str) -> TwoArms:
    """The arms of ``env_id``.

    Raises:
        ValueError: its demonstrations cannot be mixed.
    """
    if env_id not in TWO_ARMS:
        raise ValueError(f"{env_id} has no arms that work side by side; only {', '.join(TWO_ARMS)} has")
    return TWO_ARMS[env_id]


def put_together(arms: TwoArms, histories: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
    """Give half of the windows the second arm of others, where it fits; and things that are put away any other place.

    Args:
        arms: whose they are.
        histories: (B, n_obs_steps, D) observation histories in the environment's units, in random order.
        sequences: (B, horizon, D_a) their action sequences.

    Returns:
        New histories and sequences. Chance comes from torch's generator.
    """
    others = histories.roll(1, 0)
    fitting = arms.fits(histories[:, -1], others[:, -1]) & (torch.rand(len(histories)) < 0.5)
    histories = torch.where(fitting[:, None, None], arms.together(histories, others), histories)
    acted = list(arms.acted)
    sequences = sequences.clone()
    sequences[..., acted] = torch.where(fitting[:, None, None], sequences.roll(1, 0)[..., acted], sequences[..., acted])
    for thing in arms.put_away:
        histories = thing.exchanged(histories, histories.roll(2, 0))
    return histories, sequences
