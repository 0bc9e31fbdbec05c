"""Figures are drawn of whatever comes, without pyplot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import sdv_wgangp
from sdv_wgangp.plots import images, sequences, tables, training
from sdv_wgangp.plots.style import png
from sdv_wgangp.training.callbacks.gradient_norms import GradientNorms
from sdv_wgangp.training.log import EpochLog

pytest.importorskip("matplotlib")
RANDOM = np.random.default_rng(0)


def size(figure) -> tuple[int, int]:
    """Width and height of the PNG."""
    data = png(figure)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def awkward(rows: int) -> pd.DataFrame:
    number = RANDOM.lognormal(0, 3, rows)
    return pd.DataFrame(
        {
            "constant": 1.0,
            "missing": np.nan,
            "gaps": np.where(np.arange(rows) % 3 == 0, np.nan, number),
            "heavy": number,
            "few": RANDOM.integers(0, 4, rows),
            "wide": RANDOM.integers(-(10**9), 10**9, rows),
            "flag": RANDOM.random(rows) < 0.5,
            "many": [rf"$\level$ {k % 40} of forty" for k in range(rows)],
            "none": pd.Series([None] * rows, dtype=object),
            "date": pd.Timestamp("2020-02-28") + pd.to_timedelta(np.arange(rows), "D"),
            "nullable": pd.Series([1, pd.NA] * (rows // 2) + [2] * (rows % 2), dtype="Int64"),
            r"a $\name$ that_is" + "\nrather long, and of two lines": number.round(),
            "category": pd.Categorical(["x", None] * (rows // 2) + ["x"] * (rows % 2)),
        }
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [1, 2, 500])
def test_tables(rows):
    real, generated = awkward(rows), awkward(max(rows // 2, 1))
    assert size(tables.marginals(real, generated, most=20))[0] > 1000
    assert size(tables.marginals(real, generated, ["few"]))[0] < 400
    assert len(tables.marginals(real, generated).axes) == 12
    size(tables.pca_scatter(real, generated, most_rows=100))
    size(tables.pca_scatter(real[["few"]], generated[["few"]]))


def test_labels_of_marginals_are_whole():
    """Levels, ticks, titles and notes lie inside the picture, in the font that is always there."""
    from matplotlib.font_manager import findfont
    from matplotlib.text import Text

    levels = ["name", "a level of sixteen", "WWWWWWWWWWWWWWWW", "0"] * 5
    real = pd.DataFrame({"name": levels, "x" * 60: range(20), "big": np.arange(20) * 1e7})
    figure = tables.marginals(real, real.iloc[:7].assign(name=None))
    figure.canvas.draw()
    drawn = figure.axes[0].get_yticklabels()[0]
    assert "DejaVuSans" in findfont(drawn.get_fontproperties())
    for cell in figure.axes:
        # Ticks beyond the limits of an axis are there, and not drawn.
        across, up = sorted(cell.get_xlim()), sorted(cell.get_ylim())
        texts = [
            t for t in cell.get_xticklabels() if across[0] <= t.get_position()[0] <= across[1]
        ]
        texts += [t for t in cell.get_yticklabels() if up[0] <= t.get_position()[1] <= up[1]]
        titles = [each for each in cell.get_children() if isinstance(each, Text)]
        for text in [*texts, *titles]:
            box = text.get_window_extent()
            assert box.width == 0 or figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, text
            assert box.height == 0 or figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, text


def test_marginals_show_shares_of_all_rows():
    real = pd.DataFrame({"a": ["x", "x", "y", None]})
    generated = pd.DataFrame({"a": ["x", "new", "new", "new"]})
    (cell,) = tables.marginals(real, generated).axes
    assert [bar.get_width() for bar in cell.patches] == [0.5, 0.25, 0.0, 0.25, 0.0, 0.75]
    assert cell.get_title("right") == "missing 25.0 / 0.0 %"


@pytest.mark.filterwarnings("error")
def test_images():
    for shape in ((7, 1, 28, 28), (7, 3, 5, 9), (1, 8, 8)):
        size(images.image_grid(torch.rand(shape) * 2 - 1))
        size(images.image_grid(torch.rand(shape), 2, None, labels=list(range(shape[0]))))
    # Exactly what was given, pixel by pixel.
    sheet = images.image_grid(np.eye(2)[None], value_range=(0, 1)).axes[0].images[0].get_array()
    middle = sheet.shape[0] // 2
    assert sheet[middle // 2, middle // 2].tolist() == [1, 1, 1]
    assert sheet[middle // 2, middle + middle // 2].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"got \[2, 2, 4, 4\]"):
        images.image_grid(np.zeros((2, 2, 4, 4)))


@pytest.mark.filterwarnings("error")
def test_sequences():
    real = RANDOM.normal(size=(9, 12, 3))
    real[3, 5:] = np.nan
    size(sequences.windows(real, torch.randn(4, 12, 3), ["a", "b", "c"]))
    size(sequences.windows(real[:, :, 0], real[:2, :, 0]))
    size(sequences.windows(np.full((2, 4, 1), np.nan), np.zeros((2, 4, 1))))
    with pytest.raises(ValueError, match="same features, got 3 and 2"):
        sequences.windows(real, real[:, :, :2])


@pytest.mark.filterwarnings("error")
def test_memory_lengths_and_transitions_of_sequences():
    real = RANDOM.normal(size=(40, 12, 3)).cumsum(1)
    real[3, 5:], real[4] = np.nan, np.nan
    real[:, :, 2] = 1.0
    figure = sequences.autocorrelations(real, torch.randn(20, 12, 3), ["a", "b", "c"])
    size(figure)
    walk, noise = (line.get_ydata() for line in figure.axes[0].lines[1:])
    assert len(walk) == len(noise) == 6
    # Sums of noise remember, noise does not.
    assert walk[0] > 0.4 > 0.1 > noise[0]
    size(sequences.autocorrelations(real[:, :2, 0], real[:5, :2, 0]))
    figure = sequences.transitions(real, np.random.default_rng(0).normal(size=(9, 12, 3)))
    size(figure)
    shares = [np.asarray(cell.images[0].get_array()) for cell in figure.axes[:2]]
    assert [each.shape for each in shares] == [(10, 10)] * 2
    assert [each.sum() for each in shares] == pytest.approx([1, 1])
    assert np.trace(shares[0]) > 1.5 * np.trace(shares[1])
    size(sequences.transitions(np.full((2, 4, 1), np.nan), np.zeros((2, 4, 1))))
    (cell,) = sequences.lengths([1, 2, 2, 5], [3]).axes
    assert [patch.get_data().values.tolist() for patch in cell.patches] == [
        [0.25, 0.5, 0, 0, 0.25], [0, 0, 1, 0, 0],
    ]  # fmt: skip
    size(sequences.lengths(np.arange(1, 500), [7, 7]))
    for draw in (sequences.autocorrelations, sequences.transitions):
        with pytest.raises(ValueError, match="same features, got 3 and 2"):
            draw(real, real[:, :, :2])
        with pytest.raises(ValueError, match="of one time"):
            draw(real[:, :1], real[:, :1])


@pytest.mark.filterwarnings("error")
def test_trainings():
    logs = [
        EpochLog.of(k, 3, {"critic/loss": -1.0, "generator/adversarial": 0.1 * k}, step=8 * k)
        for k in range(3)
    ]
    assert len(training.losses(logs).axes) == 2
    size(training.losses(logs[:1]))
    size(training.losses([]))
    norms = GradientNorms()
    norms.load_state_dict(
        {
            "steps": [1, 2],
            "names": {"critic": ["a", "b"]},
            "norms": {"critic": torch.tensor([[1.0, torch.nan], [0.0, torch.nan]])},
        }
    )
    size(training.gradient_flow({name: norms.by_layer(name) for name in norms.players}))
    size(training.gradient_flow({}))
    pairs = {"mean": (torch.randn(30), [0.1, 0.2]), "empty": ([], [1.0]), "same": ([1], [1])}
    size(training.quantiles(pairs))


def test_pyplot_is_not_touched():
    root = str(Path(sdv_wgangp.__file__).parents[1])
    code = f"""
import sys
sys.modules["sdv"] = None
sys.path.insert(0, {root!r})
from sdv_wgangp.plots.training import quantiles
assert "matplotlib" not in sys.modules
quantiles({{"a": ([1, 2], [1, 2])}}).savefig(sys.stdout.buffer)
assert "matplotlib.pyplot" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
