"""Figures of a table's training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.training.settings import TrainingSettings

pytest.importorskip("matplotlib")


def fitted(features, callbacks):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({
        "kind": random.choice(list("abc"), 200),
        "x": random.normal(size=200),
        "y": np.where(random.random(200) < 0.2, np.nan, random.normal(size=200)),
    })  # fmt: skip
    settings = TrainingSettings(
        epochs=2, batch_size=40, min_steps_per_epoch=5, meta_features=features
    )
    model = TabularModel(
        settings, embedding_dim=4, generator_dim=(8,), discriminator_dim=(8,), random_state=0
    )
    return model.fit(frame, callbacks=callbacks)


@pytest.mark.parametrize("features", [(), ("mean", "frequency")])
def test_figures_can_be_drawn_at_any_time_and_disturb_nothing(features):
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    drawn = []

    class Draw:
        def draw(self, run):
            figures = {name: draw(run) for name, draw in run.figures.items()}
            assert all(isinstance(figure, Figure) for figure in figures.values())
            drawn.append(set(figures))
            pyplot.close("all")

        on_fit_begin = on_epoch = on_fit_end = draw

    models = [fitted(features, callbacks) for callbacks in ([], [Draw()])]
    names = {"marginals", "principal components"} | ({"meta-features"} if features else set())
    assert drawn == [names] * 4
    weights = [torch.cat([p.flatten() for p in model.generator.parameters()]) for model in models]
    assert torch.equal(*weights)
    pd.testing.assert_frame_equal(*(model.sample(20) for model in models))
