"""Arguments that have no such value are refused with the values they may have, by every environment alike."""

from __future__ import annotations

import gymnasium
import pytest

import dto_envs  # noqa: F401
from dto_envs.choices import check_choice


def test_what_is_a_choice_passes_and_what_is_none_hears_what_is():
    check_choice("side", 1, (0.4, 1.0, 2.0))
    with pytest.raises(ValueError, match=r"^side is 3; choose one of 0\.4, 1\.0, 2\.0$"):
        check_choice("side", 3, (0.4, 1.0, 2.0))
    with pytest.raises(ValueError, match="track is 'ring'; choose one of 'oval', 'L'"):
        check_choice("track", "ring", {"oval": 1, "L": 2})


@pytest.mark.parametrize("env_id", ["dto/PushT-v0", "dto/PlanarPush-v0", "dto/RCCarParking-v0"])
def test_environments_that_need_no_simulator_say_so_alike(env_id):
    with pytest.raises(ValueError, match="obs_type is 'sound'; choose one of 'state', 'image', 'state_image'"):
        gymnasium.make(env_id, obs_type="sound")
    with pytest.raises(ValueError, match="render_mode is 'ascii'; choose one of None, 'rgb_array', 'human'"):
        gymnasium.make(env_id, render_mode="ascii", disable_env_checker=True)
