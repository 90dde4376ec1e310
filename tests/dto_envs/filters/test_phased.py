"""Bounds that change during an episode."""

import numpy as np
import pytest

from dto_envs.filters.phased import bounds_at, parse_phases

PAPER = ("0.05:40", "0.1:80", "0.2:120", "0.3")


def test_phases_hold_until_their_step():
    phases = parse_phases(PAPER)
    assert phases == ((0.05, 40), (0.1, 80), (0.2, 120), (0.3, None))
    np.testing.assert_array_equal(
        bounds_at(phases, np.array([0, 39, 40, 79, 80, 120, 999])), [0.05, 0.05, 0.1, 0.1, 0.2, 0.3, 0.3]
    )
    np.testing.assert_array_equal(bounds_at(parse_phases(["0.1"]), np.arange(3)), [0.1] * 3)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["0.1:40"], "last phase lasts to the end"),
        (["0.1", "0.2"], "every other one until a step"),
        (["0.1:40", "0.2:30", "0.3"], "growing steps"),
        (["0.1:0", "0.2"], "growing steps"),
        (["-0.1:10", "0.2"], "positive number"),
        (["fast:10", "0.2"], "a phase is BOUND:STEP"),
    ],
)
def test_what_makes_no_sense_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_phases(texts)
