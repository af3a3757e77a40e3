"""Layer 4: the command line; where the parts are put together."""
