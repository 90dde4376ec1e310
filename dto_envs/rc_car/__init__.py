"""A small car that drifts: its dynamics, the tasks it is asked to do, and networks that learned how it moves."""
