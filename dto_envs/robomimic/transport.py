"""What robosuite reports of TwoArmTransport: hammer, trash, lid and bins, and what lies in which bin."""

from __future__ import annotations

import mujoco
import numpy as np

from dto_envs.robomimic.build import Scene
from dto_envs.robomimic.poses import Hand, Touch, quaternion_of


class HammerTrashAndLid:
    """Looks at what two arms move and where it goes.

    The object-state (41,): poses of the hammer, the trash and the lid's handle (7 each), positions of the target bin
    and the trash bin, two flags, hammer in target bin and trash in trash bin, and then the positions of the hammer and
    the lid's handle minus that of the first gripper, of the hammer and the trash minus that of the second. Nothing
    lags. Success is both flags.
    """

    def __init__(self, scene: Scene, data: mujoco.MjData, hands: tuple[Hand, ...]) -> None:
        """Bind to a simulation; names of geoms come from robosuite's environment."""
        group, model = scene.robosuite_env.transport, scene.model
        self._hands = hands
        hammer, trash = data.body(group.payload.root_body), data.body(group.trash.root_body)
        self._poses = [(thing.xpos, thing.xmat) for thing in (hammer, trash, data.geom(group.lid.handle_geoms[0]))]
        target, waste = group.target_bin.base_geoms, group.trash_bin.base_geoms
        self._bins = [data.geom(base[0]).xpos for base in (target, waste)]
        self._delivered = Touch(model, data, target, group.payload.contact_geoms)
        self._cleared = Touch(model, data, waste, group.trash.contact_geoms)

    def reset(self) -> None:
        """Nothing is remembered."""

    def object_state(self) -> tuple[np.ndarray, ...]:
        """The parts of robosuite's object-state."""
        hammer, trash, handle = (position.copy() for position, _ in self._poses)
        quaternions = [quaternion_of(matrix) for _, matrix in self._poses]
        first, second = (hand.position for hand in self._hands)
        poses = [part for pose in zip((hammer, trash, handle), quaternions, strict=True) for part in pose]
        flags = np.array([self._delivered(), self._cleared()], dtype=np.float64)
        return *poses, *self._bins, flags, hammer - first, handle - first, hammer - second, trash - second

    def success(self) -> bool:
        """Whether the hammer lies in the target bin and the trash in the trash bin."""
        return self._delivered() and self._cleared()
