"""How far a task has come: a stage from contacts and poses, 0 at the beginning, the task's highest when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import mujoco
import numpy as np

from dto_envs.aloha.objects import Bowl, Cup
from dto_envs.aloha.scene import COASTER_HALF, COASTER_HEIGHT, Scene

UPRIGHT = 0.95  # cosine of the angle up to which something stands, 18 degrees
SEATED = 0.008  # m that something may stand higher than where it belongs
LIFTED = 0.02  # m


class Judge(Protocol):
    """Tells how far one task is."""

    def stage(self, data: mujoco.MjData) -> int:
        """The stage now, from 0 to the task's highest; forgets nothing and remembers nothing."""
        ...


class Contacts:
    """Which geoms touch now."""

    def __init__(self, data: mujoco.MjData) -> None:
        """Look at the contacts of ``data``."""
        self._pairs = data.contact.geom.tolist()

    def between(self, one: frozenset[int], other: frozenset[int]) -> bool:
        """Whether a geom of ``one`` touches one of ``other``."""
        return any((a in one and b in other) or (b in one and a in other) for a, b in self._pairs)


def _outer_fingers(scene: Scene) -> tuple[frozenset[int], frozenset[int]]:
    """Of two arms, the left finger of the left one and the right finger of the right one."""
    left, right = scene.arms
    return left.fingers[0], right.fingers[1]


class TransferCube:
    """Gym-aloha's stages: the right gripper touches the cube, lifts it, the left touches it, holds it by itself.

    As in gym-aloha the left gripper touches with its left finger and the right one with its right finger.
    """

    def __init__(self, scene: Scene) -> None:
        """Find the geoms."""
        self._cube, self._table = scene.geoms("box"), scene.geoms("table")
        self._left, self._right = _outer_fingers(scene)

    def stage(self, data: mujoco.MjData) -> int:
        """See :class:`Judge`."""
        contacts = Contacts(data)
        lying = contacts.between(self._cube, self._table)
        if contacts.between(self._cube, self._left):
            return 3 if lying else 4
        if contacts.between(self._cube, self._right):
            return 1 if lying else 2
        return 0


class Insertion:
    """Gym-aloha's stages: both grippers touch, both lift, peg and socket touch in the air, the peg meets the pin.

    The last one counts by itself, as in gym-aloha.
    """

    def __init__(self, scene: Scene) -> None:
        """Find the geoms."""
        pin = scene.model.geom("pin").id
        self._pin = frozenset({pin})
        self._peg, self._socket = scene.geoms("peg"), scene.geoms("socket") - self._pin
        self._table = scene.geoms("table")
        self._left, self._right = _outer_fingers(scene)

    def stage(self, data: mujoco.MjData) -> int:
        """See :class:`Judge`."""
        contacts = Contacts(data)
        if contacts.between(self._peg, self._pin):
            return 4
        lying = contacts.between(self._peg | self._socket, self._table)
        if not lying and contacts.between(self._peg, self._socket):
            return 3
        held = contacts.between(self._peg, self._right) and contacts.between(self._socket, self._left)
        return (1 if lying else 2) if held else 0


@dataclass(frozen=True)
class Placed:
    """Where a thing is.

    Attributes:
        position: (3,) of its origin in the world frame, m.
        axes: (3, 3) its axes as columns.
    """

    position: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, data: mujoco.MjData, body: str) -> Placed:
        """Of a body."""
        return cls(data.body(body).xpos, data.body(body).xmat.reshape(3, 3))

    @property
    def upright(self) -> bool:
        """Whether it stands."""
        return bool(self.axes[2, 2] > UPRIGHT)

    def holds(self, other: Placed, height: float, play: float) -> bool:
        """Whether the origin of ``other`` is at ``height`` on this thing's axis, up to ``play`` beside it, in m."""
        x, y, z = self.axes.T @ (other.position - self.position)
        aligned = self.axes[:, 2] @ other.axes[:, 2] > UPRIGHT
        return bool(aligned and abs(z - height) < SEATED and np.hypot(x, y) < play)


class OnCoaster:
    """Whether something stands on the coaster."""

    def __init__(self, scene: Scene, play: float) -> None:
        """It may stand ``play`` m beside the middle."""
        self._middle, self._play = np.array(scene.task.coaster), play

    def near(self, thing: Placed) -> bool:
        """Whether it is above the coaster, at any height."""
        return bool(np.linalg.norm(thing.position[:2] - self._middle) < self._play)

    def __call__(self, thing: Placed) -> bool:
        """Whether it stands there."""
        return self.near(thing) and thing.upright and bool(abs(thing.position[2] - COASTER_HEIGHT) < SEATED)


class ArrangeDesk:
    """Bowl or cup is lifted; both are; the cup stands in the bowl; that on the coaster; the last cup on it, all let go.

    The order of the DiffOG paper: bowl and cup are stacked, the stack goes to the coaster, the last cup onto it.
    """

    def __init__(self, scene: Scene) -> None:
        """Find the geoms."""
        bowl, cup = scene.task.made["bowl"], scene.task.made["cup"]
        assert isinstance(bowl, Bowl) and isinstance(cup, Cup)
        self._bowl_floor, self._bowl_play = bowl.floor, bowl.inner - cup.base
        self._cup_floor, self._cup_play = cup.floor, cup.rim - cup.base + 0.003
        self._on_coaster = OnCoaster(scene, 0.025)
        self._things = frozenset[int]().union(*(scene.geoms(name) for name in scene.task.things))
        self._fingers = frozenset[int]().union(*(finger for arm in scene.arms for finger in arm.fingers))

    def stage(self, data: mujoco.MjData) -> int:
        """See :class:`Judge`."""
        bowl, cup, last = (Placed.of(data, name) for name in ("bowl", "cup", "last_cup"))
        if not bowl.holds(cup, self._bowl_floor, self._bowl_play):
            return sum(bool(thing.position[2] > LIFTED) for thing in (bowl, cup))
        if not self._on_coaster(bowl):
            return 3
        stacked = cup.holds(last, self._cup_floor, self._cup_play)
        return 5 if stacked and not Contacts(data).between(self._fingers, self._things) else 4


class MoveStack:
    """The cup is held; lifted; over the coaster; put down there and let go, all with the spoon on it."""

    def __init__(self, scene: Scene) -> None:
        """Find the geoms."""
        cup = scene.task.made["cup"]
        assert isinstance(cup, Cup)
        self._rim, self._height = cup.outer, cup.height
        self._on_coaster = OnCoaster(scene, COASTER_HALF - cup.base)
        self._cup = scene.geoms("cup")
        self._fingers = scene.arms[0].fingers

    def stage(self, data: mujoco.MjData) -> int:
        """See :class:`Judge`."""
        cup, spoon = Placed.of(data, "cup"), Placed.of(data, "spoon")
        if not cup.holds(spoon, self._height, self._rim):
            return 0
        contacts = Contacts(data)
        touched = [contacts.between(finger, self._cup) for finger in self._fingers]
        if self._on_coaster(cup):
            return 3 if any(touched) else 4
        if cup.position[2] > LIFTED:
            return 3 if self._on_coaster.near(cup) else 2
        return 1 if all(touched) else 0


@dataclass(frozen=True)
class Rules:
    """What tells how far a task is.

    Attributes:
        judge: class that does.
        stages: the highest stage, which is success.
    """

    judge: type[TransferCube] | type[Insertion] | type[ArrangeDesk] | type[MoveStack]
    stages: int


RULES: Mapping[str, Rules] = MappingProxyType(
    {
        "AlohaTransferCube": Rules(TransferCube, 4),
        "AlohaInsertion": Rules(Insertion, 4),
        "AlohaArrangeDesk": Rules(ArrangeDesk, 5),
        "AlohaMoveStack": Rules(MoveStack, 4),
    }
)
