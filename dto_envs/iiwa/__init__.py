"""Free terminal time reaching with a KUKA LBR iiwa 14 under torque control, on MuJoCo."""

from dto_envs.registry import require

require("iiwa", "mujoco")

from dto_envs.iiwa.env import IiwaReachEnv  # noqa: E402
from dto_envs.iiwa.model import InfeasibleStartError  # noqa: E402
from dto_envs.opengl import NoDisplayError  # noqa: E402

__all__ = ["IiwaReachEnv", "InfeasibleStartError", "NoDisplayError"]
