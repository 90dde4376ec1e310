"""The five tasks of Meta-World that DiffOG was evaluated on, PickPlaceWall to StickPull, as Gymnasium environments."""

from dto_envs.registry import require

require("metaworld", "mujoco", "metaworld")

from dto_envs.metaworld.env import MetaWorldEnv  # noqa: E402
from dto_envs.opengl import NoDisplayError  # noqa: E402

__all__ = ["MetaWorldEnv", "NoDisplayError"]
