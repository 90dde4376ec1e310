"""What a suite says of a paper's findings follows from paired intervals."""

from __future__ import annotations

import pytest
from fabricated import fill, make_run

from dto_eval.suites.runs import Done
from dto_eval.suites.verdicts import gain, headline_name, lead, level, loss

ABOVE, BELOW, BOTH = ({"mean": mean, "lo": mean - 0.05, "hi": mean + 0.05} for mean in (0.1, -0.1, 0.01))


@pytest.mark.parametrize(
    ("say", "above", "below", "both"),
    [
        (lead, "comes out", "is reversed", "is undecided"),
        (loss, "is reversed", "comes out", "is undecided"),
        (level, "is higher", "is lower", "is not told apart"),
    ],
)
def test_words_follow_the_interval(say, above, below, both):
    assert say(ABOVE) == f"{above} (+10.0 points [5.0, 15.0])"
    assert say(BELOW) == f"{below} (-10.0 points [-15.0, -5.0])"
    assert say(BOTH) == f"{both} (+1.0 points [-4.0, 6.0])"


def test_a_gain_is_the_second_run_less_the_first(tmp_path):
    won, lost = (Done(fill(tmp_path / str(solved), make_run(episodes=6), success=solved)) for solved in (True, False))
    assert headline_name("dto/PushT-v0") == "score" and headline_name("dto/Square-v0") == "success_rate"
    assert gain(lost, won, "success_rate")["mean"] == 1.0 and gain(won, lost, "success_rate")["hi"] == -1.0
    assert gain(won, won)["mean"] == 0.0
