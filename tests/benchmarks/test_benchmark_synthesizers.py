from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
from synthesizers import RECIPES


def test_ranks_become_bins(tmp_path):
    from sdv.utils import load_synthesizer

    random = np.random.default_rng(0)
    size = random.normal(size=1_500)
    frame = pd.DataFrame({"size": size, "twin": size + 0.1 * random.normal(size=1_500)})
    frame.to_csv(tmp_path / "small.csv", index=False)
    dataset = datasets.load(str(tmp_path / "small.csv"), "twin")
    for name, bins in (("vanilla", 1), ("bins-20", 20), ("bins-50", 50)):
        fitted = RECIPES[name].fit(dataset, 0, 1)
        path = tmp_path / f"{name}.pkl"
        fitted.save(path)
        encoder = load_synthesizer(path).model.encoder
        assert [column.bins for column in encoder.columns] == [bins, bins]
