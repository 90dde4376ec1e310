"""Tests compute with the kernels of evaluations; numpy, which chooses them when it is loaded, comes after this."""

import dto_eval  # noqa: F401
