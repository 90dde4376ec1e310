"""dto-envs: environments, action filters and trajectory metrics for smooth and safe robot policies.

Importing this package registers every environment id with Gymnasium and loads neither a simulator nor torch::

    import gymnasium as gym
    import dto_envs

    env = gym.make("dto/Square-v0")
"""

from dto_envs.actions import ActionLayout, PenaltyParameters, plain_layout
from dto_envs.registry import ENVS, EnvRow, MissingExtraError, UnknownEnvError, register_all, row

__all__ = [
    "ENVS",
    "ActionLayout",
    "EnvRow",
    "MissingExtraError",
    "PenaltyParameters",
    "UnknownEnvError",
    "plain_layout",
    "register_all",
    "row",
]

register_all()
