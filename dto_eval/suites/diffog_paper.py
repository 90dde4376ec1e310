"""What DiffOG's paper reports, for the tables that stand beside ours: means, standard deviations over three seeds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ROBOMIMIC = ("Lift", "Can", "Square", "ToolHang", "Transport", "PushT")
META_WORLD = ("PickPlaceWall", "ShelfPlace", "Disassemble", "StickPush", "StickPull")
ALOHA = ("AlohaArrangeDesk", "AlohaMoveStack")


def _by_task(tasks: tuple[str, ...], **rates: tuple[float, ...]) -> dict[str, dict[str, float]]:
    """Task -> agent -> rate, from an agent's rates in the order of the tasks."""
    return {
        task: {agent.replace("_", "-"): row[place] for agent, row in rates.items()} for place, task in enumerate(tasks)
    }


# Tables I to III: task -> agent -> success; Meta-World's base is DP3, ALOHA's 15 trials each.
SUCCESS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    _by_task(
        ROBOMIMIC,
        base=(1.00, 0.98, 0.91, 0.83, 0.91, 0.84),
        diffog=(1.00, 0.98, 0.87, 0.82, 0.89, 0.83),
        diffog_refine=(1.00, 0.98, 0.90, 0.81, 0.91, 0.80),
        clipping=(1.00, 0.93, 0.78, 0.59, 0.82, 0.82),
        penalty=(1.00, 0.96, 0.76, 0.79, 0.81, 0.81),
    )
    | _by_task(
        META_WORLD,
        base=(0.98, 0.77, 0.87, 1.00, 0.70),
        diffog=(0.98, 0.73, 0.89, 1.00, 0.70),
        diffog_refine=(0.98, 0.72, 0.90, 1.00, 0.68),
        clipping=(0.98, 0.70, 0.86, 1.00, 0.69),
        penalty=(0.98, 0.67, 0.86, 1.00, 0.70),
    )
    | _by_task(
        ALOHA,
        base=(9 / 15, 3 / 15),
        diffog=(9 / 15, 10 / 15),
        clipping=(2 / 15, 6 / 15),
        penalty=(4 / 15, 7 / 15),
    )
)

# Table IV: task -> seconds of the base policy, of DiffOG's layer.
LAYER_SECONDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"AlohaArrangeDesk": (0.153, 0.064), "AlohaMoveStack": (0.070, 0.047)}
)

# Table VII: task -> success of LeTO; that of DiffOG is in SUCCESS.
LETO: Mapping[str, float] = MappingProxyType(
    {
        "Square": 0.75,
        "ToolHang": 0.28,
        "PushT": 0.64,
        "PickPlaceWall": 0.63,
        "ShelfPlace": 0.15,
        "Disassemble": 0.55,
        "StickPull": 0.20,
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
