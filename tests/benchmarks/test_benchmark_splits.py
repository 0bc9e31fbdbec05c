from __future__ import annotations

import json

import datasets
import numpy as np
import pandas as pd
import pytest
import splits


@pytest.fixture
def table(tmp_path):
    """Rows, every tenth of which has a twin."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.gamma(2.0, size=200), "kind": rng.choice(list("abc"), 200)})
    frame = pd.concat([frame, frame.iloc[::10]], ignore_index=True)
    path = tmp_path / "small.csv"
    frame.to_csv(path, index=False)
    return path


def test_splits_have_the_sizes_of_the_tables_own(table):
    dataset = datasets.load(str(table), "kind")
    everything = sorted(pd.concat([dataset.train, dataset.test])["size"])
    found = list(splits.random_splits(dataset, 3, seed=0))
    for split in found:
        assert (len(split.train), len(split.test)) == (len(dataset.train), len(dataset.test))
        assert sorted(pd.concat([split.train, split.test])["size"]) == everything
    assert not found[0].test.equals(found[1].test)


def test_chance_copies_as_often_as_rows_have_twins(table, tmp_path, capsys):
    path = tmp_path / "splits.json"
    arguments = ["--datasets", str(table), "--target", "kind", "--splits", "60"]
    splits.main([*arguments, "--json", str(path)])
    printed = capsys.readouterr().out
    found = json.loads(path.read_text())["results"]["small"]
    copies, nearest = (
        np.mean([split[score] for split in found["random"]]) for score in ("copies", "nearest")
    )
    # 40 of 220 rows have a twin, which is a training row in nine of ten cases.
    assert copies == pytest.approx(100 * 40 / 220 * 0.9, abs=3)
    assert nearest == pytest.approx(0.5, abs=0.04)
    assert f"{found['own']['copies']:.2f} | {copies:.2f} ±" in printed
    assert f"{found['own']['nearest']:.3f} | {nearest:.3f} ±" in printed


def test_a_spread_takes_two_splits(table):
    with pytest.raises(SystemExit):
        splits.main(["--datasets", str(table), "--splits", "1"])
