from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import sequence_datasets
import sequence_models
import sequences


@pytest.fixture
def folder(tmp_path):
    """Small files where the real ones are: share prices of a year, and one long series."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2019-01-02", periods=12)
    rows = []
    for symbol in range(60):
        close = 50 + symbol + rng.normal(size=12).cumsum()
        sector = "IT" if symbol % 2 else "Health"
        prices = {"Open": close + 0.1, "Close": close, "Volume": rng.integers(1, 99, 12)}
        about = {"Symbol": f"S{symbol}", "Sector": sector, "Industry": sector}
        rows.append(pd.DataFrame({"Date": days, **prices, **about}))
    for name, table in (
        ("nasdaq100_2019", pd.concat(rows)),
        ("oil", pd.DataFrame({"Date": days[0], "Price": rng.normal(size=200).cumsum()})),
    ):
        (tmp_path / name).mkdir()
        table.to_csv(tmp_path / name / f"{name}.csv", index=False)
    return tmp_path


def test_sequences_are_split_by_key(folder):
    found = sequence_datasets.load("nasdaq100_2019", folder)
    known, unseen = set(found.train["Symbol"]), set(found.test["Symbol"])
    assert (len(known), len(unseen), known & unseen) == (48, 12, set())
    assert found.columns["Symbol"] == "id"
    assert found.columns["Date"] == "datetime"
    about = next(iter(found.metadata["tables"].values()))
    assert (about["sequence_key"], about["sequence_index"]) == ("Symbol", "Date")


def test_a_series_is_split_by_time_and_no_window_crosses_the_cut(folder):
    prices = pd.read_csv(folder / "oil" / "oil.csv")["Price"]
    found = sequence_datasets.load("oil", folder)
    assert found.train.groupby("window").size().eq(24).all()
    assert found.train["window"].nunique() == 160 - 23
    assert set(found.train["Price"]) == set(prices[:160])
    assert set(found.test["Price"]) == set(prices[160:])
    published = sequence_datasets.load("oil@published", folder)
    assert published.train["window"].nunique() == 200 - 23
    assert published.test is None


def test_players_of_both_published_parts_are_no_held_out_players(folder):
    (folder / "fielding").mkdir()
    for part, players in (("train", "ab"), ("test", "bc")):
        table = pd.DataFrame({"playerID": list(players), "yearID": 1990})
        table.to_csv(folder / "fielding" / f"fielding_{part}.csv", index=False)
    found = sequence_datasets.load("fielding", folder)
    assert found.train["playerID"].tolist() == ["a", "b"]
    assert found.test["playerID"].tolist() == ["c"]


def test_unknown_data_and_missing_files_are_named(folder):
    with pytest.raises(SystemExit, match="unknown data 'stocks'"):
        sequence_datasets.load("stocks", folder)
    with pytest.raises(SystemExit, match=r"stock_timegan.csv is missing: give --folder"):
        sequence_datasets.load("stock", folder)


def test_fits_are_scored_stored_and_taken_again(folder, tmp_path, capsys, monkeypatch):
    output, summary = tmp_path / "output", tmp_path / "summary.json"
    arguments = ["--data", "nasdaq100_2019", "--synthesizers", "real", "copula_over_time"]
    arguments += ["--folder", str(folder), "--output", str(output), "--json", str(summary)]
    sequences.main(arguments)
    printed = capsys.readouterr().out
    found = json.loads(summary.read_text())
    real, copula = found["entries"]
    assert (real["synthesizer"], copula["synthesizer"]) == ("real", "copula_over_time")
    assert copula["fit"]["sequences"] == 48
    assert copula["fit"]["host"].keys() == {"cpu", "cores", "system"}
    assert copula["scores"]["order.back"] == 0
    assert copula["scores"]["lengths.w1"] == 0
    assert copula["price_gap"][0] == pytest.approx(0.1 / 80, rel=0.5)
    assert copula["lag_1_real_and_own"]["Close"] == pytest.approx([0.5, 0.5], abs=0.2)
    assert "| copula_over_time |" in printed

    def refused(*_):
        raise AssertionError("what is stored was made again")

    monkeypatch.setattr(sequences, "_run", refused)
    sequences.main(arguments)
    assert json.loads(summary.read_text())["entries"] == found["entries"]


def test_a_failure_is_reported_and_the_others_go_on(folder, tmp_path, capsys):
    arguments = ["--data", "nasdaq100_2019", "--synthesizers", "tabularargn", "real"]
    sequences.main([*arguments, "--folder", str(folder), "--output", str(tmp_path / "output")])
    printed = capsys.readouterr().out
    assert "tabularargn seed 0: fit: tabularargn needs --mostlyai-python" in printed
    assert "real seed 0: done" in printed
    log = tmp_path / "output" / "sequences" / "nasdaq100_2019" / "tabularargn" / "0" / "error.log"
    assert "--mostlyai-python" in log.read_text()


def test_a_synthesizer_that_is_not_there_is_named(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sdv_wgangp.sequential", None)
    dataset = sequence_datasets.load("nasdaq100_2019", folder)
    with pytest.raises(SystemExit, match="no DoppelGANgerSynthesizer"):
        sequence_models.fit_doppelganger(dataset, 0, sequence_models.Settings())
