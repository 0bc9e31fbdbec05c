"""The command line with tables of sequences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp import cli


@pytest.fixture
def visits(tmp_path):
    """A file of ragged sequences."""
    lengths = np.random.default_rng(0).integers(1, 6, 20)
    who = np.repeat([f"p{number}" for number in range(20)], lengths)
    frame = pd.DataFrame({"who": who, "day": np.arange(len(who))})
    frame["arm"] = frame.who.isin([f"p{number}" for number in range(10)]).map(
        {True: "a", False: "b"}
    )
    frame["pulse"] = 60 + frame.day % 7
    frame.to_csv(tmp_path / "visits.csv", index=False)
    return tmp_path / "visits.csv"


def fit(path, *options) -> int:
    model = path.with_name("model.safetensors")
    return cli.main(["fit", str(path), "--model", str(model), "--epochs", "1", *options])


def test_sequences_are_fitted_and_sampled(visits):
    model, output = visits.with_name("model.safetensors"), visits.with_name("synthetic.csv")
    named = ["--sequence-key", "who", "--sequence-index", "day", "--context-columns", "arm"]
    assert fit(visits, *named, "--holdout", "0.2") == 0
    parts = [pd.read_csv(visits.with_name(f"model.{part}.csv")) for part in ("train", "holdout")]
    assert [part.who.nunique() for part in parts] == [16, 4]
    assert not set(parts[0].who) & set(parts[1].who)
    assert cli.main(["sample", str(model), "--rows", "6", "--output", str(output)]) == 0
    sampled = pd.read_csv(output)
    assert list(sampled) == ["who", "day", "arm", "pulse"]
    assert sampled.who.nunique() == 6
    assert (sampled.groupby("who").day.diff().dropna() >= 0).all()
    assert (sampled.groupby("who").arm.nunique() == 1).all()
    longer = ["--rows", "3", "--sequence-length", "9", "--output", str(output)]
    assert cli.main(["sample", str(model), *longer]) == 0
    assert (pd.read_csv(output).groupby("who").size() == 9).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sequence-index", "day"], "--sequence-index needs --sequence-key"),
        (["--context-columns", "arm"], "--context-columns needs --sequence-key"),
        (["--sequence-key", "who", "--pac", "2"], "--pac is no parameter of sequences"),
        (["--sequence-key", "whom"], "column 'whom' is not in the table"),
        (["--sequence-key", "who", "--sequence-index", "who"], "must be different"),
    ],
)
def test_options_that_do_not_fit_are_named(visits, options, message, capsys):
    assert fit(visits, *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--sequence-index", "day"], ["--context-columns", "arm"]])
def test_a_report_needs_the_key_of_an_index_or_context(visits, option, capsys):
    assert cli.main(["report", str(visits), str(visits), *option]) == 2
    said = capsys.readouterr().err
    assert f"{option[0]}: an index or context columns need a sequence key" in said
