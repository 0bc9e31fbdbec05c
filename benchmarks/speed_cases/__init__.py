"""The sections of speed.py: one module each, with `run(...) -> Section`."""
