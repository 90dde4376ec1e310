"""What DiffOG's paper reports, for the tables that stand beside ours: means, standard deviations over three seeds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TASKS = ("Lift", "Can", "Square", "ToolHang", "Transport", "PushT")

# Table I: agent -> success on TASKS.
SUCCESS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "base": (1.00, 0.98, 0.91, 0.83, 0.91, 0.84),
        "diffog": (1.00, 0.98, 0.87, 0.82, 0.89, 0.83),
        "diffog-refine": (1.00, 0.98, 0.90, 0.81, 0.91, 0.80),
        "clipping": (1.00, 0.93, 0.78, 0.59, 0.82, 0.82),
        "penalty": (1.00, 0.96, 0.76, 0.79, 0.81, 0.81),
    }
)

# Table V: agent -> success on ToolHang and Transport.
DESIGNS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "diffog": (0.82, 0.89),
        "diffog-refine": (0.81, 0.91),
        "static-q": (0.73, 0.84),
        "matrix": (0.77, 0.85),
        "matrix-refine": (0.60, 0.14),
    }
)

# Table VI: agent -> seconds of a batch of 25 with 100 DDPM steps.
SECONDS: Mapping[str, float] = MappingProxyType({"base": 0.13, "diffog": 0.28, "static-q": 0.28, "matrix": 0.27})
