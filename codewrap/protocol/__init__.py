"""Layer 1, pure: bytes, values and time come in as arguments, results go out."""
