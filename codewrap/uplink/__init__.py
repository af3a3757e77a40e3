"""Layer 3, `run`'s second process: follows the session log and speaks to the broker."""
