from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def _frame(shift=0.0, seed=0, rows=20_000):
    """A smooth column, one with a spike, one of few values and one with missing values."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=rows) + shift
    return pd.DataFrame(
        {
            "smooth": np.exp(latent),
            "spiked": np.where(latent < 0.3, 0.0, latent + random.normal(size=rows) ** 2),
            "few": np.clip(np.round(latent * 2), -6, 6).astype(int),
            "gaps": np.where(random.random(rows) < 0.2, np.nan, latent.clip(-2.5, 2.5)),
            "level": np.where(latent > 0, "a", "b"),
        }
    )


@pytest.fixture(scope="session")
def frame():
    """Makes such a table: ``frame(shift=0.0, seed=0, rows=20_000)``."""
    return _frame
