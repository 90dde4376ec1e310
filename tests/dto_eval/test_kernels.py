"""Tests of the choice of OpenBLAS's kernels."""

import os
import subprocess
import sys

import pytest

from dto_eval.kernels import VARIABLE, kernels_for, other_choice

OLD = ["fpu", "sse2"]
MIDDLE = [*OLD, "avx2", "fma"]
NEW = [*MIDDLE, "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16"]
IN_A_FRESH_PROCESS = f"import os, dto_eval; print(os.environ.get({VARIABLE!r}))"


@pytest.mark.parametrize(
    ("features", "kernels"), [(OLD, None), ([], None), (MIDDLE, "Haswell"), (NEW, "SkylakeX"), (NEW[:-2], "Haswell")]
)
def test_the_newest_kernels_that_the_processor_can_run(features, kernels):
    assert kernels_for(features) == kernels


def test_importing_the_harness_chooses_but_leaves_a_choice_alone():
    def chosen(**changes: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | changes
        return subprocess.check_output([sys.executable, "-c", IN_A_FRESH_PROCESS], env=environment, text=True).strip()

    assert chosen(**{VARIABLE: "Haswell"}) == "Haswell"
    assert chosen() in ("SkylakeX", "Haswell", "None")


def test_a_choice_of_the_environment_that_is_not_ours_is_named(monkeypatch):
    monkeypatch.setattr("dto_eval.kernels._processor_features", lambda: set(NEW))
    for chosen in (None, "SkylakeX"):
        monkeypatch.setenv(VARIABLE, chosen) if chosen else monkeypatch.delenv(VARIABLE, raising=False)
        assert other_choice() is None
    monkeypatch.setenv(VARIABLE, "Haswell")
    assert "Haswell" in (remark := other_choice()) and "SkylakeX" in remark
    monkeypatch.setattr("dto_eval.kernels._processor_features", lambda: set(OLD))
    assert other_choice() is None
