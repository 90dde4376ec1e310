"""Manipulation with ALOHA's ViperX arms under joint position control, on MuJoCo."""

from dto_envs.registry import require

require("aloha", "mujoco", "gym_aloha")

from dto_envs.aloha.env import AlohaEnv  # noqa: E402
from dto_envs.opengl import NoDisplayError  # noqa: E402

__all__ = ["AlohaEnv", "NoDisplayError"]
