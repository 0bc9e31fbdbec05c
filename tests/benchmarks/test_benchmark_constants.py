from __future__ import annotations

import constants
import datasets
import numpy as np
import pandas as pd
import pytest
from synthesizers import RECIPES

from sdv_wgangp.calibration import balancing, ratio, sizes
from sdv_wgangp.encoding import columns


def test_constants_change_and_come_back():
    wanted = constants.parse("encoding.columns.BINS=50, encoding.table.BINS_TO_RANK=2")
    assert wanted == {"encoding.columns.BINS": 50, "encoding.table.BINS_TO_RANK": 2.0}
    assert isinstance(wanted["encoding.columns.BINS"], int)
    with constants.changed(wanted):
        assert columns.BINS == 50
    assert columns.BINS == 20

    @constants.changed(wanted)
    def fail():
        raise KeyError(columns.BINS)

    with pytest.raises(KeyError, match="50"):
        fail()
    assert columns.BINS == 20
    assert constants.parse("") == {}


def test_modules_that_imported_a_constant_have_it_too():
    with constants.changed(constants.parse("calibration.ratio.GENERATED_TIMES=7")):
        assert ratio.GENERATED_TIMES == sizes.GENERATED_TIMES == 7
    assert ratio.GENERATED_TIMES == sizes.GENERATED_TIMES == 4
    # Another one of that name.
    with constants.changed({"calibration.ratio.LEAST_ROWS": 9}):
        assert sizes.LEAST_ROWS == 9
        assert balancing.LEAST_ROWS == 50


@pytest.mark.parametrize(
    "text",
    [
        "BINS=50",
        "encoding.columns.BINS",
        "encoding.columns.NO=1",
        "encoding.columns.BINS=1.5",
        "encoding.columns.BINS=inf",
        "encoding.columns.NumericColumn=3",
    ],
)
def test_what_is_no_constant_is_named(text):
    with pytest.raises(SystemExit, match=rf"'{text}' is no MODULE\.CONSTANT=NUMBER"):
        constants.parse(text)


def test_ranks_become_bins(tmp_path):
    from sdv.utils import load_synthesizer

    random = np.random.default_rng(0)
    size = random.normal(size=3_000)
    frame = pd.DataFrame({"size": size, "twin": size + 0.1 * random.normal(size=3_000)})
    frame.to_csv(tmp_path / "small.csv", index=False)
    dataset = datasets.load(str(tmp_path / "small.csv"), "twin")
    for name, bins in (("vanilla", 1), ("bins-20", 20), ("bins-50", 50)):
        fitted = RECIPES[name].fit(dataset, 0, 1)
        path = tmp_path / f"{name}.pkl"
        fitted.save(path)
        encoder = load_synthesizer(path)._model.encoder
        assert [column.bins for column in encoder.columns] == [bins, bins]
