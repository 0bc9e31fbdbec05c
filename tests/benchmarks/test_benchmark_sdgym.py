"""SDGym offline: the layout of its tables. (SDGym itself cannot be beside SDV 2.0.)"""

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
