"""SDGym offline: the layout of its tables, and a run where it can be (not beside SDV 2.0)."""

from __future__ import annotations

import json
from importlib.metadata import distributions

import datasets
import numpy as np
import pandas as pd
import pytest
import sdgym as benchmark

HAS_SDGYM = any(each.metadata["Name"] == "sdgym" for each in distributions())


def test_a_table_is_written_as_sdgym_reads_it(tmp_path):
    path = tmp_path / "small.csv"
    frame = pd.DataFrame({"n": np.arange(50) / 4, "kind": list("abcde") * 10})
    frame.to_csv(path, index=False)
    dataset = datasets.load(str(path))
    benchmark.write_table(tmp_path / "folder", dataset)
    place = tmp_path / "folder" / "single_table" / "small"
    assert json.loads((place / "metadata.json").read_text()) == dataset.metadata
    read = pd.read_csv(place / "data.zip")
    assert sorted(read["n"]) == sorted(frame["n"])
    assert (place / "small" / "small" / "data.zip").exists()


@pytest.mark.skipif(HAS_SDGYM, reason="SDGym is installed: nothing to complain of")
def test_without_sdgym_it_says_what_to_install():
    with pytest.raises(SystemExit, match=r"SDGym cannot be imported beside SDV .*sdgym==0\.15\.1"):
        benchmark.run(["small.csv"], ["CTGANSynthesizer"], None)


@pytest.mark.skipif(not HAS_SDGYM, reason="needs SDGym")
def test_sdgym_lists_and_runs_ours_by_name(tmp_path):
    path = tmp_path / "small.csv"
    random = np.random.default_rng(0)
    pd.DataFrame({"n": random.normal(size=200), "kind": list("abcde") * 40}).to_csv(
        path, index=False
    )
    known = benchmark.load_sdgym().synthesizers.get_available_single_table_synthesizers()
    assert benchmark.OURS in known
    found = benchmark.run([str(path)], [benchmark.OURS], 1).set_index("Synthesizer")
    (row,) = [row for name, row in found.iterrows() if benchmark.OURS in name]
    assert pd.isna(row.get("error", row.get("Error")))
    assert row["Quality_Score"] > 0.5
    with pytest.raises(SystemExit, match=r"SDGym does not know 'GAN': it lists .*WGANGPMFS"):
        benchmark.run([str(path)], ["GAN"], 1)
