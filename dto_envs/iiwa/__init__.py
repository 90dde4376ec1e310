"""Free terminal time reaching with a KUKA LBR iiwa 14 under torque control, on MuJoCo."""

from dto_envs.registry import require

require("iiwa", "mujoco")
