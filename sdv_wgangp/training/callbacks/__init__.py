"""Callbacks that come with the package; `training.watchers` says how to write another."""
