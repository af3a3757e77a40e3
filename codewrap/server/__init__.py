"""Layer 3, `serve-auth`: says who may watch and who may type."""
