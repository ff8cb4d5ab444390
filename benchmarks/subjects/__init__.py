"""One thing measured in a process of its own: each module prints its result as JSON on its last line."""
