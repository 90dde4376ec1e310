"""Spectral arc length against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dto_envs.motion import sparc


def direct_sparc(speed, dt, cutoff=10.0, threshold=0.05):
    """Term by term from the definition, without an FFT."""
    size = 2 ** (math.ceil(math.log2(len(speed))) + 4)
    times = np.arange(len(speed))
    spectrum = []
    for k in range(size // 2 + 1):
        if k / (size * dt) <= cutoff:
            spectrum.append(abs(np.sum(speed * np.exp(-2j * np.pi * k * times / size))))
    spectrum = np.array(spectrum) / spectrum[0]
    last = max(k for k, value in enumerate(spectrum) if value >= threshold)
    return -sum(math.hypot(1 / last, spectrum[k + 1] - spectrum[k]) for k in range(last))


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float64, st.integers(2, 40), elements=st.floats(0.01, 10)), st.sampled_from([0.02, 0.05, 0.1]))
def test_sparc_against_the_definition(speed, dt):
    assert sparc(speed, dt) == pytest.approx(direct_sparc(speed, dt), rel=1e-6)


def test_sparc_prefers_one_bell_to_two():
    t = np.linspace(0, 1, 50)
    bell = 30 * t**2 * (1 - t) ** 2
    stop_and_go = np.concatenate([bell[::2], bell[::2]])
    assert -1.7 < sparc(bell, 0.02) < -1.3
    assert sparc(stop_and_go, 0.02) < sparc(bell, 0.02) - 0.2
