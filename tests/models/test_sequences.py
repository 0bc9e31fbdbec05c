"""What the model of sequences learns; small tables with one plain rule each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.models.paths import GaussianProcess, autocovariance
from sdv_wgangp.models.sequences import SequenceModel, SequenceSettings
from sdv_wgangp.models.steps import StepModel, StepSettings


def turns(sequences: int = 200, seed: int = 0) -> pd.DataFrame:
    """Even contexts go up by one a step, odd ones down; days are one or seven apart."""
    random, parts = np.random.default_rng(seed), []
    for number in range(sequences):
        length, up = int(random.integers(2, 6)), number % 2 == 0
        start = int(random.integers(10, 20))
        gaps = random.choice([1, 7], length)
        parts.append(pd.DataFrame({
            "who": number, "way": "up" if up else "down", "day": gaps.cumsum(),
            "level": start + (1 if up else -1) * np.arange(length)}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def model() -> SequenceModel:
    settings = SequenceSettings.of(4)
    settings = SequenceSettings(
        settings.head,
        StepSettings(epochs=15, min_steps=60, batch_size=128, width=64, narrow=32, dropout=0.0),
    )
    return SequenceModel("who", "day", ["way"], settings=settings, random_state=0).fit(turns())


def test_steps_follow_the_rows_before_and_the_head(model):
    sampled = model.sample(300)
    change = sampled.groupby("who")["level"].diff().dropna()
    way = sampled.way.loc[change.index]
    assert (change[way == "up"] == 1).mean() > 0.9
    assert (change[way == "down"] == -1).mean() > 0.9
    assert set(sampled.groupby("who").day.diff().dropna()) == {1, 7}
    lengths = sampled.groupby("who").size()
    assert lengths.between(2, 5).all()
    assert lengths.mean() == pytest.approx(3.5, abs=0.35)


def test_given_heads_and_prefixes(model):
    sampled = model.sample(50, length=9, given=pd.DataFrame({"way": ["up"] * 50}))
    assert (sampled.way == "up").all()
    assert (sampled.groupby("who").size() == 9).all()
    prefix = turns(6, seed=3)
    more = model.continued(prefix, 2)
    assert (more.groupby("who").size() == 2).all()
    last, first = prefix.groupby("who").last(), more.groupby("who").first()
    change = first.level - last.level
    assert (change == np.where(last.way == "up", 1, -1)).mean() > 0.8
    assert ((first.day - last.day).isin([1, 7])).all()
    with pytest.raises(ValueError, match="column 'way' is not in the prefix"):
        model.continued(prefix.drop(columns="way"), 2)
    with pytest.raises(ValueError, match="steps"):
        model.continued(prefix, 0)


def test_a_seed_repeats_the_sample(model):
    model.set_random_state(5)
    one = model.sample(20)
    model.set_random_state(5)
    pd.testing.assert_frame_equal(model.sample(20), one)


def test_likelihoods_of_the_network_are_those_it_draws_by(model):
    """Teacher-forced training and drawing read the past in the same way."""
    steps = model.step_model
    assert isinstance(steps, StepModel)
    found = model.assembler.assemble(turns(40, seed=9))
    when = found.head["day.start"].to_numpy(float)[found.owners] + np.concatenate([
        found.steps.day.iloc[b : b + n].fillna(0).cumsum()
        for b, n in zip(found.begins, found.lengths, strict=True)])  # fmt: skip
    batch = steps._training_batch(
        found.steps[steps.encoder.names], model._known_head(found.head), found.lengths, when,
        np.zeros((len(found.steps), 0)), np.random.default_rng(0),
    )  # fmt: skip
    with torch.no_grad():
        expected = steps.network(batch)
        context = steps.network.context(batch)
        before, total = torch.zeros_like(context[:, 0]), torch.zeros(len(context))
        for place in range(len(steps.encoder.columns)):
            logits = steps.network.logits(place, context[:, place], before, batch.last[:, place])
            own = batch.codes[:, place]
            total += logits.log_softmax(1).gather(1, own[:, None])[:, 0]
            before = before + steps.network.embedded(place, own, batch.ranks[:, place])
            if not place:
                before = before + steps.network.moments(batch.moments[:, 0])
    assert torch.allclose(total, expected, atol=1e-4)
    # Levels of other sequences are far from chance (over twenty of them, and two gaps: -3.7).
    assert expected[batch.values[:, 6] > 0].mean() > -2.8


def test_the_process_has_the_autocovariances_of_its_scores():
    random = np.random.default_rng(0)
    path, matrix = np.zeros((4000, 2)), np.array([[0.8, 0.1], [-0.2, 0.5]])
    for time in range(1, len(path)):
        path[time] = matrix @ path[time - 1] + random.standard_normal(2)
    path /= path.std(0)
    lengths = np.full(40, 100)
    drawn = GaussianProcess(path, lengths).draw(40, 100, random).reshape(-1, 2)
    for lag in (0, 1, 3):
        own, other = (autocovariance(each, lengths, lag) for each in (path, drawn))
        assert np.allclose(own, other, atol=0.12)


def test_short_paths_of_many_sequences_have_the_covariance_over_time():
    random = np.random.default_rng(0)
    scores = random.standard_normal((2000, 6)) * np.array([0.2, 1, 2, 0.5, 1, 1])
    process = GaussianProcess(scores.reshape(-1, 1), np.full(2000, 6))
    spread = process.draw(4000, 6, random)[:, :, 0].std(0)
    assert np.allclose(spread, scores.std(0), rtol=0.1, atol=0.05)
    assert process.draw(10, 9, random).shape == (10, 9, 1)
