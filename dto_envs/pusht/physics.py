"""Push-T's physics: a velocity-controlled finger and a block that slides without inertia, in pymunk at 100 Hz.

The constants are those of the task's first publications (Florence et al., 2021; Chi et al., 2023), because recorded
demonstrations are only as good as the physics that replays them. Two of them surprise: surfaces have no friction (the
block stops because its velocity is damped away in every step), and the block's moment of inertia counts the bar twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import pymunk

from dto_envs.pusht.geometry import BAR, STEM

PHYSICS_DT = 0.01
SUBSTEPS = 10
STIFFNESS, DAMPING = 100.0, 20.0
AGENT_RADIUS = 15.0
WALL_RADIUS = 2.0
WALLS = (((5, 506), (5, 5)), ((5, 5), (506, 5)), ((506, 5), (506, 506)), ((5, 506), (506, 506)))


class World:
    """One episode's bodies, in a space of their own so that nothing of an earlier episode can reach them."""

    def __init__(self, state: Sequence[float]) -> None:
        """Place agent and block at rest.

        Args:
            state: agent x, agent y, block x, block y in px, block angle in rad.
        """
        self._space = pymunk.Space()
        self._space.damping = 0.0  # a body keeps no velocity from one step to the next
        for a, b in WALLS:
            self._space.add(pymunk.Segment(self._space.static_body, a, b, WALL_RADIUS))
        self._agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        self._space.add(self._agent, pymunk.Circle(self._agent, AGENT_RADIUS))
        self._block = self._add_block()
        # Turning a body moves its origin, which is not its centre of gravity: first the angle, then the position.
        self._block.angle = state[4]
        self._block.position = (state[2], state[3])
        self._agent.position = (state[0], state[1])
        self._velocity = (0.0, 0.0)
        # A step at rest moves nothing, but finds the contacts that the next step pushes apart, as the recorder did.
        self._space.step(PHYSICS_DT)

    def _add_block(self) -> pymunk.Body:
        body = pymunk.Body(mass=1.0, moment=2.0 * pymunk.moment_for_poly(1.0, BAR))
        bar, stem = pymunk.Poly(body, BAR), pymunk.Poly(body, STEM)
        body.center_of_gravity = (bar.center_of_gravity + stem.center_of_gravity) / 2
        self._space.add(body, bar, stem)
        return body

    def push(self, target_x: float, target_y: float) -> None:
        """Run one control step of 0.1 s: a PD controller draws the agent towards the target (px)."""
        agent, step = self._agent, self._space.step
        velocity_x, velocity_y = self._velocity
        for _ in range(SUBSTEPS):
            x, y = agent.position
            velocity_x += (STIFFNESS * (target_x - x) - DAMPING * velocity_x) * PHYSICS_DT
            velocity_y += (STIFFNESS * (target_y - y) - DAMPING * velocity_y) * PHYSICS_DT
            agent.velocity = (velocity_x, velocity_y)
            step(PHYSICS_DT)
        self._velocity = (velocity_x, velocity_y)  # collisions do not change a kinematic body's velocity

    def state(self) -> tuple[float, float, float, float, float]:
        """Agent x, agent y, block x, block y in px, and the block's angle in rad (not wrapped)."""
        agent_x, agent_y = self._agent.position
        block_x, block_y = self._block.position
        return agent_x, agent_y, block_x, block_y, self._block.angle
