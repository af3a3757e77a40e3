"""Layer 2, the disk: session records and session logs, private to their owner."""
