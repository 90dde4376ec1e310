"""Six people who operate the robot, two each of three levels of skill, as behind robomimic's multi-human data.

Mandlekar et al. (2021) had six operators give 50 demonstrations each: two better, two okay, two worse. The worse ones
are slower, stop more often, aim less well and slip more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from dto_agents.experts.motion import MotionStyle


@dataclass(frozen=True)
class Operator:
    """How one person differs from the skilled one whom a task's own style describes; factors of that style.

    Attributes:
        name: as robomimic names the subset of this person's demonstrations.
        speed: of the lowest and the highest speed.
        pauses: of how often the hand stops.
        longest_pause: of the longest stop.
        aim: of the aim's error and of its limit.
        slips: of how often the hand slips.
        tremor: of the tremor, linear and rotational.
    """

    name: str
    speed: float = 1.0
    pauses: float = 1.0
    longest_pause: float = 1.0
    aim: float = 1.0
    slips: float = 1.0
    tremor: float = 1.0

    def style(self, skilled: MotionStyle) -> MotionStyle:
        """This person's style at a task at which a skilled person has the style ``skilled``."""
        shortest, longest = skilled.pause_steps
        return replace(
            skilled,
            slowest=self.speed * skilled.slowest,
            fastest=self.speed * skilled.fastest,
            pause_rate=self.pauses * skilled.pause_rate,
            pause_steps=(shortest, round(self.longest_pause * longest)),
            aim_error=self.aim * skilled.aim_error,
            aim_limit=self.aim * skilled.aim_limit,
            slip_rate=self.slips * skilled.slip_rate,
            linear_tremor=self.tremor * skilled.linear_tremor,
            rotational_tremor=self.tremor * skilled.rotational_tremor,
        )


SINGLE = (Operator("better_operator_1"),)
MULTI = (
    *SINGLE,
    Operator("better_operator_2", speed=0.9, aim=0.8, tremor=1.15),
    Operator("okay_operator_1", speed=0.75, pauses=2.5, longest_pause=1.5, aim=1.4, slips=2.0),
    Operator("okay_operator_2", speed=0.85, pauses=3.5, longest_pause=1.3, aim=1.6, slips=1.5, tremor=1.2),
    Operator("worse_operator_1", speed=0.55, pauses=5.0, longest_pause=2.0, aim=1.8, slips=4.0, tremor=1.1),
    Operator("worse_operator_2", speed=0.65, pauses=6.0, longest_pause=1.6, aim=2.2, slips=3.0, tremor=1.35),
)
OPERATORS: Mapping[str, tuple[Operator, ...]] = MappingProxyType({"single": SINGLE, "multi": MULTI})
