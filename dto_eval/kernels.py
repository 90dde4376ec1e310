"""Which of its kernels OpenBLAS computes with: the same ones on every processor that has them.

OpenBLAS chooses by the model of the processor, and falls back to old kernels on models that came after it. Their sums
differ in the last bit, contacts make a trajectory of that, and a run played on one server would not come out the same
on the next.
"""

from __future__ import annotations

import os
from collections.abc import Collection

VARIABLE = "OPENBLAS_CORETYPE"
# The newest first: kernels, and what a processor must be able to do to run them.
_KERNELS = (
    ("SkylakeX", {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}),
    ("Haswell", {"avx2", "fma"}),
)


def pin_kernels() -> None:
    """Choose for this process, if numpy is not yet imported, and for its children; what is set already stays."""
    if VARIABLE in os.environ:
        return
    kernels = kernels_for(_processor_features())
    if kernels is not None:
        os.environ[VARIABLE] = kernels


def other_choice() -> str | None:
    """What to say where the environment has chosen other kernels than we would on this processor; None otherwise."""
    ours, theirs = kernels_for(_processor_features()), os.environ.get(VARIABLE)
    if ours is None or theirs in (None, ours):
        return None
    return f"{VARIABLE} is {theirs} in this environment, without it we compute with {ours}: unset it for the same bits"


def kernels_for(features: Collection[str]) -> str | None:
    """The kernels for a processor with these ``features``, in LLVM's names; None leaves the choice to OpenBLAS."""
    return next((kernels for kernels, needed in _KERNELS if needed <= set(features)), None)


def _processor_features() -> set[str]:
    from llvmlite.binding import get_host_cpu_features

    # As the processor itself states them, like OpenBLAS; what the system writes about it, /proc/cpuinfo, can say less.
    return {feature for feature, present in get_host_cpu_features().items() if present}
