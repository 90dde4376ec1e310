"""The harness: protocol, shards, rollouts, records, statistics, reports and leaderboards."""
