"""Layer 3, `run`: owns the child, the local terminal and the session log; never waits for a network."""
