"""The compiled searches for relations against those in NumPy, integer for integer."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sdv_wgangp.cli import main
from sdv_wgangp.encoding.relations import counting, counting_numpy

pytestmark = pytest.mark.fast
compiled = pytest.mark.skipif("not loaded" in counting.status(), reason="_native was not built")
CELLS = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, 0.1, 0.2, 0.3, -1.0, 1e-300, 1e300, np.nan])


def same(name, *arguments):
    result = getattr(counting, name)(*arguments, 2)
    expected = getattr(counting_numpy, name)(*arguments)
    if isinstance(result, tuple):
        for one, other in zip(result, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    else:
        assert result.dtype == np.int64
        np.testing.assert_array_equal(result, expected)
    return result


def test_it_is_there_where_it_is_required():
    if os.environ.get("SDV_WGANGP_REQUIRE_EXTENSION", "0") in ("", "0"):
        pytest.skip("SDV_WGANGP_REQUIRE_EXTENSION is not set")
    assert counting.status() == "compiled searches for relations: loaded"


def test_status_tells_it(capsys):
    assert main(["status"]) == 0
    assert counting.status() in capsys.readouterr().out.splitlines()


@compiled
@given(npst.arrays(np.float64, npst.array_shapes(min_dims=2, max_dims=2, max_side=40),
                   elements=CELLS))  # fmt: skip
@settings(deadline=None)
def test_pairs_of_any_table(values):
    same("count_pairs", values)


@compiled
@given(st.data())
@settings(deadline=None)
def test_triples_of_any_table(data):
    columns, rows = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 80))
    values = data.draw(npst.arrays(np.float64, (columns, rows), elements=CELLS))
    flags = npst.arrays(bool, columns)
    reach = data.draw(npst.arrays(np.float64, columns, elements=st.sampled_from([1e-15, 1e-6])))
    half = data.draw(npst.arrays(np.float64, columns, elements=st.sampled_from([0.0, 0.5])))
    fraction = data.draw(st.sampled_from([0.01, 0.5, 1.0]))
    same("find_triples", values, reach, half, data.draw(flags), data.draw(flags), fraction)


@pytest.mark.parametrize("rows", [7, 64, 65, 256, 1024, 1500])
@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_triples_at_the_ends_of_probes(rows, fraction):
    rng = np.random.default_rng(rows)
    values = rng.integers(-3, 9, (6, rows)).astype(float)
    values[0] = values[1] + values[2]
    values[3] = np.where(rng.random(rows) < 0.5, values[1] * values[2], values[3])
    values[5, rng.random(rows) < 0.3] = np.nan
    yes, no = np.ones(6, dtype=bool), np.zeros(6, dtype=bool)
    arguments = values, np.full(6, 1e-15), np.zeros(6), no, yes, fraction
    expected = counting_numpy.find_triples(*arguments)
    if rows > 8:
        told = np.count_nonzero((values[:3] != 0).all(0))
        assert [0, 0, 1, 2, told, told] in expected.tolist()
    if "not loaded" not in counting.status():
        same("find_triples", *arguments)


@compiled
@given(st.data())
@settings(deadline=None)
def test_dependences_of_any_table(data):
    columns, rows = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 80))
    codes = data.draw(npst.arrays(np.int32, (columns, rows), elements=st.integers(-1, 3)))
    flags = npst.arrays(bool, columns)
    fraction = data.draw(st.sampled_from([0.0, 0.5]))
    arguments = codes, data.draw(flags), data.draw(flags), fraction, data.draw(st.booleans())
    same("find_dependences", *arguments)


def test_dependences_beyond_the_probe():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 20, (5, 5000)).astype(np.int32)
    codes[1] = codes[0] // 4
    codes[2] = (codes[0] + codes[3]) % 7
    codes[4] = codes[2]
    codes[4, -1] += 1  # seen after the probe alone
    yes = np.ones(5, dtype=bool)
    expected = [[1, 0, -1], [2, 0, 3]]
    assert counting_numpy.find_dependences(codes, yes, yes, 0.5, True).tolist() == expected
    if "not loaded" not in counting.status():
        same("find_dependences", codes, yes, yes, 0.5, True)


@compiled
def test_arrays_of_wrong_shape_are_refused():
    from sdv_wgangp import _native

    with pytest.raises(ValueError, match="expected shape"):
        _native.count_pairs(np.zeros(3), 1)
    none, yes = np.zeros(2), np.ones(2, dtype=bool)
    with pytest.raises(ValueError, match="one of each for every column"):
        _native.find_triples(np.zeros((3, 4)), none, none, yes, yes, 0.5, 1)
    with pytest.raises(ValueError, match="for every column"):
        _native.find_dependences(np.zeros((3, 4), np.int32), yes, yes, 0.5, True, 1)


def test_numpy_takes_over_without_the_module():
    code = """
import sys
sys.modules["sdv_wgangp._native"] = None  # as where it was not built
import numpy as np, pandas as pd
from sdv_wgangp.encoding.relations import counting, find_relations
assert "not loaded, NumPy serves" in counting.status()
x, y = np.random.default_rng(0).integers(1, 99, (2, 300))
print(find_relations(pd.DataFrame({"x": x, "y": y, "z": x + y})).relations[0])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "z = x + y in all 300 rows", result.stderr
