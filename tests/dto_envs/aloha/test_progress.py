"""Stages: things are put where they count, and nothing else changes."""

import gymnasium
import numpy as np
import pytest

import dto_envs  # noqa: F401

pytest.importorskip("gym_aloha")

from dto_envs.aloha.objects import Bowl, Cup  # noqa: E402
from dto_envs.aloha.scene import COASTER_HEIGHT, GLASS, TASKS  # noqa: E402

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
LYING = (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)


def put(env, **poses):
    """Place things, given as (x, y, z) or with a quaternion (w, x, y, z), and settle for one action; returns info."""
    env.reset(seed=0)
    state = env.get_state()
    arms = env.action_layout.size
    for name, pose in poses.items():
        address = 1 + env.model.jnt_qposadr[env.model.body(name).jntadr[0]]
        state[address : address + 7] = (*pose, *UPRIGHT) if len(pose) == 3 else pose
    observation, info = env.reset(options={"state": state})
    *_, info = env.step(observation[:arms].astype(np.float32))
    return info


@pytest.fixture(scope="module")
def desk():
    return gymnasium.make("dto/AlohaArrangeDesk-v0").unwrapped


@pytest.fixture(scope="module")
def glass():
    return gymnasium.make("dto/AlohaMoveStack-v0").unwrapped


def test_a_desk_is_arranged_from_the_coaster_upwards(desk):
    x, y = TASKS["AlohaArrangeDesk"].coaster
    bowl = (x, y, COASTER_HEIGHT)
    cup = (x + 0.02, y, COASTER_HEIGHT + Bowl().floor)
    last = (x + 0.02, y, cup[2] + Cup().floor)
    assert put(desk)["stage"] == 0
    assert put(desk, bowl=bowl)["stage"] == 0
    aside = (-0.15, 0.55, Bowl().floor)
    assert put(desk, bowl=(-0.15, 0.55, 0.0), cup=aside)["stage"] == 3
    assert put(desk, bowl=bowl, cup=cup)["stage"] == 4
    done = put(desk, bowl=bowl, cup=cup, last_cup=last)
    assert done["stage"] == 5 and done["success"] and done["score"] == 1.0
    toppled = (x + 0.02, y, cup[2] + 0.03, *LYING)
    assert put(desk, bowl=bowl, cup=toppled)["stage"] < 3


def test_the_spoon_must_lie_on_the_cup(glass):
    x, y = TASKS["AlohaMoveStack"].coaster
    cup = (x, y, COASTER_HEIGHT)
    on_top = (x, y, COASTER_HEIGHT + GLASS.height + 0.0016)
    done = put(glass, cup=cup, spoon=on_top)
    assert done["stage"] == 4 and done["success"]
    assert put(glass, cup=cup, spoon=(x + 0.2, y, 0.002))["stage"] == 0
    beside = put(glass, cup=(x + 0.1, y, 0.0), spoon=(x + 0.1, y, GLASS.height + 0.0016))
    assert beside["stage"] == 0 and not beside["success"]


def test_a_score_is_the_best_stage_so_far(glass):
    x, y = TASKS["AlohaMoveStack"].coaster
    put(glass, cup=(x, y, COASTER_HEIGHT), spoon=(x, y, COASTER_HEIGHT + GLASS.height + 0.0016))
    spoon = glass.model.jnt_qposadr[glass.model.body("spoon").jntadr[0]]
    glass.data.qpos[spoon] += 0.2
    *_, info = glass.step(glass._state()[:7].astype(np.float32))
    assert info["stage"] == 0 and not info["success"] and info["score"] == 1.0
