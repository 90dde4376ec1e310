"""Push-T: push a T-shaped block onto its goal with a round finger (Florence 2021; Chi 2023), on pymunk."""

from dto_envs.pusht.env import PushTEnv
from dto_envs.pusht.geometry import coverage, keypoints

__all__ = ["PushTEnv", "coverage", "keypoints"]
