"""What stands behind `server/state.py`: SQLite, PostgreSQL, Redis. `opening.py` picks one by URL."""
