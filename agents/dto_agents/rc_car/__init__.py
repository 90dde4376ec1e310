"""Learning, planning and driving for the RC car: logs, dynamics models, agents."""
