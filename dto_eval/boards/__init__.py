"""Leaderboards: evidence that others can check goes in, tables computed from that evidence come out.

``guard`` reads files that nobody vouches for, ``evidence`` defines what a submission holds, ``checks`` decides what is
admitted, ``submit`` puts it in place, ``ranking`` turns submissions into rows, ``render`` writes the boards, ``plot``
draws them, and ``verify`` simulates a sample again.
"""
