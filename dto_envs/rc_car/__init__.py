"""A small car that drifts: its dynamics, the tasks it is asked to do, and networks that learned how it moves."""

from dto_envs.rc_car.manoeuvre import ManoeuvreEnv
from dto_envs.rc_car.race import RaceEnv

__all__ = ["ManoeuvreEnv", "RaceEnv"]
