"""Layer 2, this machine: the child, the local terminal, screen state and signals."""
