"""Layer 3, `attach`: shows a session on this terminal and sends what is typed."""
