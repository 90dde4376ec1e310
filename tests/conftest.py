"""Tests compute with the kernels that evaluations use; numpy, which chooses them when it is loaded, comes after this."""

import dto_eval  # noqa: F401
