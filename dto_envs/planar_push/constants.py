"""Every number of the planar pushing task in one place, each with its reason. SI units; x right, y up, ground at y = 0.

The task is that of Aceituno et al., A Differentiable Recipe for Learning Visual Non-Prehensile Planar Manipulation
(2021), called DLM here. Planner, layers and simulators share these constants; where planner and simulator differ, they
differ on purpose and both numbers stand here.
"""

from __future__ import annotations

# Time: five video frames (the paper's T), so 0.4 s of motion. Mechanics depend on gravity times dt squared.
KEYFRAMES = 5
DT = 0.1

# The paper's simulator pulls with 0.5 m/s^2, which 1 cm of noise per keyframe exceeds five times; this is the Earth's.
GRAVITY = 9.8
MASS = 1.0
FINGERS = 2

# Objects fit into a circle of 20 cm around their centroid, as in the paper.
MAX_RADIUS = 0.2
MIN_SCALE = 0.5

# Friction is Coulomb's. Plans keep to a smaller finger friction than the simulator has: a margin against slipping.
FINGER_FRICTION = 0.5
SIMULATED_FINGER_FRICTION = 0.8
# With 0.3 and more, and a free sliding direction, every fourth plan fails; low friction makes grounded plans exact.
GROUND_FRICTION = 0.1

# Normal forces of a plan in N. Below a newton the finger may lose its contact; 60 N is six times the object's weight.
MIN_NORMAL_FORCE = 1.0
MAX_NORMAL_FORCE = 60.0
# Plans touch a facet between these shares of its length, away from the corners.
CONTACT_SHARES = (0.3, 0.7)

# Fingers: discs under a critically damped PD controller. With feed-forward forces 2000 N/m hold them on their path;
# without, the spring makes all the force: 10,000 N/m need a millimetre per 10 N, so that a plan which wants the force f
# at the point p commands p + f / 10,000.
FINGER_MASS = 0.2
FINGER_RADIUS = 0.004
FEED_FORWARD_STIFFNESS = 2000.0
POSITION_STIFFNESS = 10_000.0
# No finger pushes harder, in N: the largest planned normal force with all its friction. Without a limit a target 5 cm
# inside the object clamps it with 500 N, and a hand that knows nothing of the shape does as well as one that does.
MAX_FORCE = 68.0

# Plans execute at a median loss of 0.004 cm^2 with 1 and with 2 ms, 0.01 with 5; 10 ms starts to fail.
PHYSICS_DT = 0.002
COLLISION_SLOP = 1e-4

# Motions: start and goal within these ranges, then noise on the keyframes between them, as in the paper.
MAX_X = 0.15
MAX_LIFT = 0.10
MAX_ROTATION = 1.2
KEYFRAME_NOISE = 0.01
# Airborne objects keep this distance from the ground, whatever their angle, so that contact is never by accident.
AIR_GAP = 0.02
# Seven of ten tasks are airborne between the fingers; grounded ones alone are too easy to tell methods apart.
AIRBORNE_SHARE = 0.7
# Grounded tasks begin at rest and speed up: they slide on a facet, or tilt about a corner by up to this angle in rad.
MAX_TILT = 0.5
# Planned finger centres keep this height above the ground: their radius and a millimetre.
MIN_FINGER_HEIGHT = 0.005

# Where fingers may be commanded to: everywhere that an object can be touched, and room around it. It is a square, so
# that a limit on the normalised speed is the same in x and y.
WORKSPACE_LOW = (-0.45, 0.0)
WORKSPACE_HIGH = (0.45, 0.9)
# Fingers wait here, out of every object's way, until the first action places them.
HOME = ((-0.45, 0.6), (0.45, 0.6))

# The task's video: a square of 0.8 m, with the ground in its lowest five rows of pixels.
VIDEO_SIZE = 50
VIDEO_LEFT, VIDEO_BOTTOM, VIDEO_SIDE = -0.4, -0.08, 0.8

# A trajectory loss in cm^2 that counts as success: two centimetres of error in every coordinate.
SUCCESS_LOSS = 4.0
# The paper's measure of an angle: 3 cm per unit of its sine.
ANGLE_LENGTH = 0.03
