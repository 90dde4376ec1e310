"""The tasks of robomimic's benchmark on robosuite 1.5, Lift to Transport, as Gymnasium environments."""

from dto_envs.registry import require

require("robomimic", "mujoco", "robosuite")

from dto_envs.opengl import NoDisplayError  # noqa: E402
from dto_envs.robomimic.env import RobomimicEnv  # noqa: E402

__all__ = ["NoDisplayError", "RobomimicEnv"]
