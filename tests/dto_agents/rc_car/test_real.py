from dataclasses import replace

import numpy as np
import pytest

from dto_agents.rc_car.logs import Log
from dto_agents.rc_car.reading import LogError
from dto_agents.rc_car.real import PAPER, REAL, train_network
from dto_envs.rc_car.learned import rollout


def weave(rate=30, seconds=6):
    t = np.arange(seconds * rate) / rate
    heading = np.sin(t)
    poses = np.stack([np.cumsum(np.cos(heading)) / rate, np.cumsum(np.sin(heading)) / rate, heading], axis=1)
    return Log(t, poses, np.stack([0.5 + 0 * t, np.cos(t)], axis=1), 1 / rate)


def test_a_network_learns_steps_of_the_logs_own_rate_and_sees_past_actions():
    network = train_network([weave()], replace(REAL, depth=1, width=16, epochs=60), seed=0)
    assert network.dt == 1 / 30 and network.actions == 10 and network.residual
    log = weave()
    start = np.array([[*log.poses[20], 1.0, 0.0, np.cos(log.t[20])]])
    path = rollout(network, start, log.controls[None, 20:35], log.controls[None, 11:20])[0]
    still = log.poses[20, :2] - log.poses[35, :2]
    assert np.hypot(*(path[-1, :2] - log.poses[35, :2])) < 0.2 * np.hypot(*still)


def test_the_papers_network_is_the_papers():
    assert (PAPER.depth, PAPER.width, PAPER.activation, PAPER.loss) == (8, 64, "gelu", "relative")
    assert PAPER.actions == 1 and not PAPER.residual and PAPER.smoothing_s > 0 and PAPER.steps == 1


def test_logs_of_two_rates_are_refused():
    with pytest.raises(LogError, match=r"different rates \(30, 20 Hz\); resample"):
        train_network([weave(), weave(rate=20)], REAL, seed=0)
