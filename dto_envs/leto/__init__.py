"""LeTO's two real-world tasks, Move-the-stack and Arrange-chopsticks, simulated with a Panda."""

from dto_envs.registry import require

require("robomimic", "mujoco", "robosuite")

from dto_envs.leto.chopsticks import ArrangeChopsticksEnv  # noqa: E402
from dto_envs.leto.movestack import MoveStackEnv  # noqa: E402

__all__ = ["ArrangeChopsticksEnv", "MoveStackEnv"]
