"""What robosuite reports of ToolHang: stand, frame and tool, whether the frame stands and the tool hangs on it."""

from __future__ import annotations

import mujoco
import numpy as np

from dto_envs.robomimic.build import Scene
from dto_envs.robomimic.poses import Hand, Pose, RelativePose, Touch, quaternion_of, world_in

MOUNTED_WITHIN = 0.05  # m, between the frame's tip and the stand's base
UPRIGHT_WITHIN = np.pi / 18
HUNG_BEYOND = 0.05  # fraction of the hook's length


class StandFrameAndTool:
    """Looks at ToolHang's three objects.

    The object-state (44,) is, for the stand's base, the frame's corner and the tool, the pose in the gripper's frame
    and then that in the world, 14 numbers each; last two flags, frame assembled and tool on frame. Success is both.
    """

    def __init__(self, scene: Scene, data: mujoco.MjData, hands: tuple[Hand, ...]) -> None:
        """Bind to a simulation; names of geoms and sizes come from robosuite's environment."""
        env, model = scene.robosuite_env, scene.model
        self._hand = hands[0]
        base, corner, tool = data.geom("stand_base"), data.site("frame_intersection_site"), data.body("tool_root")
        self._poses = [(thing.xpos, thing.xmat) for thing in (base, corner, tool)]
        self._relative = [RelativePose() for _ in self._poses]
        self._base, self._corner = base.xpos, corner.xpos
        self._walls = [data.geom(f"stand_wall{i}").xpos for i in range(4)]
        self._shaft_top, self._hole = data.site("stand_mount_site").xpos, data.site("tool_hole1_center").xpos
        self._tip, self._mount = data.site("frame_tip_site").xpos, data.site("frame_mount_site").xpos
        self._hook_end = data.site("frame_hang_site").xpos
        ring = [f"tool_hole1_hc_{i}" for i in range(env.tool_args["ngeoms"])]
        self._ring_sides = data.geom(ring[0]).xpos, data.geom(ring[len(ring) // 2]).xpos
        self._play = env.tool_args["inner_radius_1"] - env.frame_args["frame_thickness"] / 2.0
        fingers = {name for names in env.robots[0].gripper["right"].important_geoms.values() for name in names}
        self._tool_held = Touch(model, data, fingers, env.tool.contact_geoms)
        self._tool_on_hook = Touch(model, data, ring, ["frame_horizontal_frame"])

    def reset(self) -> None:
        """Forget where the objects were."""
        for relative in self._relative:
            relative.reset()

    def object_state(self) -> tuple[np.ndarray, ...]:
        """The parts of robosuite's object-state."""
        world_in_hand = world_in(self._hand.pose())
        parts: list[np.ndarray] = []
        for (position, matrix), relative in zip(self._poses, self._relative, strict=True):
            pose: Pose = (position.copy(), quaternion_of(matrix))
            parts += [*relative.read(pose, world_in_hand), *pose]
        flags = np.array([self.frame_assembled(), self.tool_on_frame()], dtype=np.float64)
        return *parts, flags

    def success(self) -> bool:
        """Whether the frame is assembled and the tool hangs on it, let go."""
        return self.frame_assembled() and self.tool_on_frame()

    def frame_assembled(self) -> bool:
        """Whether the stand is upright and the frame's rod in it: tip near the base, line between the walls."""
        shaft = self._shaft_top - self._base
        if np.arccos(shaft[2] / np.linalg.norm(shaft)) >= UPRIGHT_WITHIN:
            return False
        if np.linalg.norm(self._tip - self._base) >= MOUNTED_WITHIN:
            return False
        rod, _ = unit(self._corner - self._mount)
        a, b, c, d = (wall - self._mount for wall in self._walls)
        return are_opposite(a, c, rod) and are_opposite(b, d, rod)

    def tool_on_frame(self) -> bool:
        """Whether the tool's ring touches the hook, is on it beyond 5 % of its length, and no finger holds it."""
        if self._tool_held() or not self._tool_on_hook():
            return False
        hook, length = unit(self._corner - self._hook_end)
        hole = self._hole - self._hook_end
        along = float(hole @ hook)
        if np.linalg.norm(hole - along * hook) >= self._play or not HUNG_BEYOND < along / length < 1.0:
            return False
        one, other = (side - self._hook_end for side in self._ring_sides)
        return are_opposite(one, other, hook)


def unit(vector: np.ndarray) -> tuple[np.ndarray, float]:
    """Direction and length of a vector."""
    length = float(np.linalg.norm(vector))
    return vector / length, length


def are_opposite(a: np.ndarray, b: np.ndarray, direction: np.ndarray) -> bool:
    """Whether two points (3,) lie on opposite sides of the line through the origin along the unit ``direction``.

    They do when the parts of ``a`` and ``b`` that are orthogonal to the line point away from each other.
    """
    return bool(a @ b - (a @ direction) * (b @ direction) < 0)
