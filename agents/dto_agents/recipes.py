"""What the recipes of all agents check alike."""

from __future__ import annotations

from typing import Any


def check_counts(recipe: Any, *names: str) -> None:
    """Raise ValueError for the first of a recipe's attributes that is below 1."""
    for name in names:
        value = getattr(recipe, name)
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
