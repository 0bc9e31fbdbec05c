"""The operators' cases: one module a family, each with `cases(options)`."""
