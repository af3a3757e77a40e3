"""Layer 3, `codewrap doctor`: checks of a set-up, one finding each. Handed values and factories by `cli`."""
