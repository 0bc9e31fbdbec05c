"""Where pickles of release 0.1.0 look for the logs of a training."""

from sdv_wgangp.training.log import EpochLog, NonFiniteLossError

__all__ = ["EpochLog", "NonFiniteLossError"]
