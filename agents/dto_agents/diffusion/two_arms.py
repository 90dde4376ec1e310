"""Two arms that work side by side: windows that show each of them as it was in another demonstration.

In demonstrations both arms work at the speed of one person, so that how far the one is tells how far the other is. A
policy that learned this is lost as soon as one arm needs a second try. While neither arm waits for what the other does,
any pair of their moments could have been demonstrated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

WALLS = 0.9  # m, height of a hammer that leaves its bin
REACH = 0.25  # m between the hammer and the second gripper from which on they may have to do with each other


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
    """

    observed: tuple[int, ...]
    acted: tuple[int, ...]
    thing: int
    gripper: int
    between: int
    cleared: int

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
TWO_ARMS: Mapping[str, TwoArms] = MappingProxyType(
    {"dto/Transport-v0": TwoArms(_TRASH, tuple(range(7, 14)), thing=0, gripper=50, between=35, cleared=28)}
)


def two_arms(env_id: str) -> TwoArms:
    """The arms of ``env_id``.

    Raises:
        ValueError: its demonstrations cannot be mixed.
    """
    if env_id not in TWO_ARMS:
        raise ValueError(f"{env_id} has no arms that work side by side; only {', '.join(TWO_ARMS)} has")
    return TWO_ARMS[env_id]


def mix(
    arms: TwoArms, states: Tensor, actions: Tensor, other_states: Tensor, other_actions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Give half of the windows the second arm of other windows, where the two fit together.

    Args:
        arms: whose they are.
        states: (B, n_obs_steps, D) observation histories, in the environment's units.
        actions: (B, horizon, D_a) their action sequences.
        other_states: (B, n_obs_steps, D) histories whose second arm is taken.
        other_actions: (B, horizon, D_a).

    Returns:
        Which windows (N,) are to be changed, drawn with torch's generator, their new histories (N, n_obs_steps, D) and
        sequences (N, horizon, D_a).
    """
    fitting = arms.fits(states[:, -1], other_states[:, -1]) & (torch.rand(len(states)) < 0.5)
    rows = fitting.nonzero().flatten()
    mixed = actions[rows]
    mixed[..., arms.acted] = other_actions[rows][..., arms.acted]
    return rows, arms.together(states[rows], other_states[rows]), mixed
