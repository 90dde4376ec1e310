"""The harness: protocol, shards, rollouts, records, statistics, reports and leaderboards."""

from dto_eval.kernels import pin_kernels

pin_kernels()
