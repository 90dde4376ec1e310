"""Optimal control of the iiwa reaching task: open-loop solver, data sets, and controllers learned from them."""
