"""Agents for tests of the harness: a well-behaved one, and some that go wrong."""

import os
import signal
import time
from pathlib import Path

import numpy as np


class Wanderer:
    """Chases noise around the last two observed positions; each episode's actions depend on its own past alone."""

    n_obs_steps = 2
    n_action_steps = 4

    def reset(self, seeds):
        self.generators = [np.random.default_rng(seed) for seed in seeds]

    def act(self, observations):
        assert observations.shape[1] == self.n_obs_steps
        here, before = observations[:, -1, :2], observations[:, 0, :2]
        noise = np.stack([generator.normal(0, 60, (6, 2)) for generator in self.generators])
        return np.clip((here + 0.5 * (here - before))[:, None] + noise, 20, 490)


class Watcher:
    """Reads the state beside two images of the past; fails unless they are there."""

    n_obs_steps = 2
    n_action_steps = 30

    def reset(self, seeds):
        self.rows = len(seeds)

    def act(self, observations):
        assert observations["state"].shape[:2] == (self.rows, 2)
        images = [value for key, value in observations.items() if key != "state"]
        assert all(image.dtype == np.uint8 and image.shape[:2] == (self.rows, 2) for image in images) and images
        return np.repeat(observations["state"][:, -1:, :2], 30, axis=1)


class Seeker:
    """Goes towards the darkest part of the last of two images, which must both have been drawn."""

    n_obs_steps = 2
    n_action_steps = 20

    def reset(self, seeds):
        pass

    def act(self, observations):
        assert observations.any(axis=(2, 3, 4)).all()
        dark = 255.0 - observations[:, -1].mean(axis=-1)
        places = np.linspace(0, 512, dark.shape[-1])
        target = [[(row.sum(0) @ places) / row.sum(), (row.sum(1) @ places) / row.sum()] for row in dark]
        return np.repeat(np.array(target)[:, None], 20, axis=1)


class Slow(Wanderer):
    def act(self, observations):
        time.sleep(0.004)
        return super().act(observations)


class DiesOnce(Wanderer):
    """Kills its own process on its tenth call, unless another process did so before."""

    calls = 0

    def act(self, observations):
        self.calls += 1
        mark = Path(os.environ["DTO_TEST_MARK"])
        if self.calls == 10 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().act(observations)


class Dies(Wanderer):
    def act(self, observations):
        os.kill(os.getpid(), signal.SIGKILL)


class Raises(Wanderer):
    def act(self, observations):
        raise KeyError("no such layer")


class NotANumber(Wanderer):
    def act(self, observations):
        chunk = super().act(observations)
        chunk[0, 2, 1] = np.nan
        return chunk


class TooShort(Wanderer):
    def act(self, observations):
        return super().act(observations)[:, :2]


class WrongSize(Wanderer):
    def act(self, observations):
        return super().act(observations)[..., :1]
