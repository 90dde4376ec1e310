"""The four commands: dto-eval, dto-train, dto-demos, dto-board. Each parses one frozen dataclass with tyro."""
