"""The episodes of the suite rc-car: played from their starts, and kept."""

from __future__ import annotations

import numpy as np
import pytest

from dto_eval.suites import SuiteOptions, rc_car_drives
from dto_eval.suites.rc_car_drives import MANOEUVRES, Task, drive, play


def test_a_task_is_played_from_its_starts():
    task = Task("Parking", "rc-car-plan", "seed42", (100_000,))
    (played,) = play(task)
    assert played.init == 100_000 and played.states.shape == (41, 6) and played.controls.shape == (40, 2)
    end = np.hypot(*(played.states[-1, :2] - (2.6, 0.45)))
    assert played.position == pytest.approx(end) and played.slip > 0.5


def test_what_was_driven_is_kept_for_the_next_run(tmp_path, monkeypatch):
    options = SuiteOptions(out=tmp_path)
    first = drive(options, ("hold",), 2)
    assert [(entry.task.manoeuvre, entry.init) for entry in first] == [
        (manoeuvre, init) for manoeuvre in MANOEUVRES for init in (100_000, 100_001)
    ]

    monkeypatch.setattr(rc_car_drives, "play", None)  # nothing may be played again
    second = drive(options, ("hold",), 2)
    for ours, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours.states, again.states)
        np.testing.assert_array_equal(ours.controls, again.controls)
        assert (ours.position, ours.touched, ours.success) == (again.position, again.touched, again.success)
        assert type(again.init) is int and type(again.success) is bool


def test_other_starts_and_other_weights_are_kept_apart():
    task = Task("Parking", "rc-car-plan", "seed42", (1, 2), {"a": "0"})
    others = [
        Task("Parking", "rc-car-plan", "seed42", (1, 3), {"a": "0"}),
        Task("Parking", "rc-car-plan", "seed42", (1, 2), {"a": "1"}),
        Task("Reverse", "rc-car-plan", "seed42", (1, 2), {"a": "0"}),
    ]
    assert len({task.file, *(other.file for other in others)}) == 4
