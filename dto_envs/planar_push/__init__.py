"""Planar pushing: two fingers carry a polygon along a motion shown by a video (Aceituno et al., DLM, 2021)."""

from dto_envs.planar_push.env import PlanarPushEnv
from dto_envs.planar_push.physics import simulate, trajectory_loss
from dto_envs.planar_push.shapes import Polygon
from dto_envs.planar_push.tasks import Task, make_task, random_task

__all__ = ["PlanarPushEnv", "Polygon", "Task", "make_task", "random_task", "simulate", "trajectory_loss"]
