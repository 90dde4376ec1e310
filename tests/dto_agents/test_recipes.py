"""What recipes refuse alike."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dto_agents.recipes import check_counts


def test_the_first_count_below_one_is_named():
    recipe = SimpleNamespace(width=1, steps=0, depth=-2)
    check_counts(recipe, "width")
    with pytest.raises(ValueError, match="^steps must be at least 1, not 0$"):
        check_counts(recipe, "width", "steps", "depth")
