"""Relations that the encoding holds: chosen, rebuilt, copied, mended."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.relations import find_relations
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.networks.views import Views
from sdv_wgangp.ops import row_views_backward

ROWS = 2_000


@pytest.fixture(scope="module")
def houses():
    rng = np.random.default_rng(0)
    above = rng.integers(50, 900, ROWS) * 10
    basement = np.where(rng.random(ROWS) < 0.6, 0, rng.integers(5, 200, ROWS) * 10)
    lot = rng.lognormal(8, 1, ROWS).round(2)
    rooms = rng.integers(1, 12, ROWS)
    children = rng.integers(0, 3, ROWS)
    begin = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, ROWS), "D")
    nights = rng.integers(1, 15, ROWS)
    x, z = rng.integers(0, 10, (2, ROWS))
    price = (above * 3.3 + basement).round(1)
    frame = pd.DataFrame(
        {
            "living": above + basement,
            "above": above,
            "basement": basement,
            "lot": lot,
            "lot of neighbours": np.where(
                rng.random(ROWS) < 0.2, lot, rng.lognormal(8, 1, ROWS).round(2)
            ),
            "rooms": rooms,
            "bedrooms": np.maximum(rooms - rng.integers(0, 12, ROWS), 1),
            "children": children,
            "benefit": np.where(children == 0, 0, rng.lognormal(3, 1, ROWS).round(2)),
            "begin": begin,
            "nights": nights,
            "end": begin + pd.to_timedelta(nights, "D"),
            "x": x,
            "z": z,
            "cell": [f"{i // 3} {j // 3}" for i, j in zip(x, z, strict=True)],
            "price": price,
            "vat": (price * 0.19).round(2),
        }
    )
    frame.loc[rng.random(ROWS) < 0.1, ["lot", "lot of neighbours"]] = np.nan
    return frame


@pytest.fixture(scope="module")
def encoder(houses):
    return TableEncoder(["cell"], relations="auto").fit(houses)


def steps_of(encoder):
    return {(step.how, step.target, step.relation.statement) for step in encoder.held.steps}


def test_every_kind_is_held_in_its_way(encoder):
    assert steps_of(encoder) >= {
        ("rebuilt", "living", "living = above + basement"),
        ("rebuilt", "vat", "vat = 0.19 * price"),
        ("rebuilt", "end", "end = begin + nights in days"),
        ("copied", "lot of neighbours", "lot of neighbours = lot"),
        ("mended", "lot of neighbours", "lot of neighbours and lot are missing together"),
        ("mended", "benefit", "benefit and children are 0 together"),
        ("mended", "bedrooms", "bedrooms <= rooms"),
        ("mended", "cell", "cell follows from x and z"),
    }
    assert not {"living", "vat", "end"} & {column.name for column in encoder.columns}


def test_encoded_rows_come_back_with_what_was_rebuilt(houses, encoder):
    back = encoder.decode(encoder.encode(houses, np.random.default_rng(0)))
    assert list(back) == list(houses)
    assert back.dtypes.equals(houses.dtypes)
    exact = [
        "living", "above", "basement", "rooms", "bedrooms", "children", "begin", "nights", "end",
        "x", "z", "cell",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(back[exact], houses[exact])
    copied = (houses["lot of neighbours"] == houses["lot"]).to_numpy()
    assert (back["lot of neighbours"] == back["lot"])[copied].all()


def test_any_codes_decode_to_rows_that_keep_all_relations(houses, encoder):
    rng = np.random.default_rng(1)
    codes = np.stack([rng.integers(0, width, 5_000) for width in encoder.widths], 1)
    places = sum(column.has_positions for column in encoder.columns)
    positions = rng.random((5_000, places), dtype=np.float32)
    frame = encoder.decode(EncodedTable(torch.from_numpy(codes), torch.from_numpy(positions)))
    found = find_relations(houses, categories=["cell"])
    held = {step.relation.statement for step in encoder.held.steps}
    rates = dict(zip([relation.statement for relation in found], found.rates(frame), strict=True))
    exact = [relation.statement for relation in found if relation.in_all]
    assert [s for s in exact if s in held and rates[s] < 1] == []
    assert len([s for s in exact if s in held]) >= 6
    # What no step could hold is seen, so that these rows can be drawn anew.
    bad = encoder.held.bad(frame)
    kept = found.rates(frame[~bad])
    for relation, rate in zip(found, kept, strict=True):
        if relation.in_all:
            assert rate == 1 or np.isnan(rate), relation.statement


def test_the_same_rows_are_mended_in_the_same_way(encoder):
    rng = np.random.default_rng(2)
    codes = np.stack([rng.integers(0, width, 100) for width in encoder.widths], 1)
    places = sum(column.has_positions for column in encoder.columns)
    table = EncodedTable(torch.from_numpy(codes), torch.rand(100, places))
    pd.testing.assert_frame_equal(encoder.decode(table), encoder.decode(table))


def test_a_copy_is_a_code_behind_all_others(houses, encoder):
    column = encoder.column("lot of neighbours")
    assert (column.copies, column.first_copy) == (1, column.width - 1)
    copied = int((houses["lot of neighbours"] == houses["lot"]).sum())
    assert column.counts[-1] == copied
    assert column.counts.sum() == ROWS
    codes = encoder.encode(houses).codes
    index = [each.name for each in encoder.columns].index("lot of neighbours")
    assert int((codes[:, index] == column.first_copy).sum()) == copied


def test_critics_see_the_rank_of_the_value_that_is_copied(houses, encoder):
    layout = Layout.of(encoder)
    table = encoder.encode(houses, np.random.default_rng(0))
    levels = layout.level_index(table)
    # The position of a generated copy says nothing yet.
    place = list(layout.positioned).index(
        [each.name for each in encoder.columns].index("lot of neighbours")
    )
    raw = table.positions.clone()
    resolved = layout.copies.resolve(levels, raw, layout.ranks.T)
    (copy,) = layout.copies.are_copies.nonzero().flatten().tolist()
    copied = resolved.copied[copy]
    assert torch.equal(raw, table.positions)
    raw[copied, place] = 0.123
    again = layout.copies.resolve(levels, raw, layout.ranks.T)
    assert torch.equal(again.positions, resolved.positions)
    away = (resolved.positions - table.positions)[:, place].abs()
    assert away[~copied].max() == 0
    assert away[copied].max() < 5e-3


def test_gradients_of_a_copy_arrive_at_its_source(houses, encoder):
    """Against the derivative of the rank of the copy along the position of the source."""
    layout = Layout.of(encoder)
    table = encoder.encode(houses, np.random.default_rng(0)).rows(slice(0, 500))
    levels = layout.level_index(table)
    views = Views(layout, whiten=False)
    names = [each.name for each in encoder.columns]
    target, source = names.index("lot of neighbours"), names.index("lot")
    at = {column: place for place, column in enumerate(layout.positioned.tolist())}
    resolved = layout.copies.resolve(levels, table.positions, layout.ranks.T)
    (copy,) = layout.copies.are_copies.nonzero().flatten().tolist()
    copied = resolved.copied[copy]
    ordered = layout.ordered.tolist().index(target)
    gradient = torch.zeros(len(table), views.width)
    views.ordering(gradient)[:, ordered] = 1.0
    to_codes = torch.zeros(len(table), layout.levels)
    to_positions, _ = views.backward(gradient, levels, table.positions, to_codes)
    assert to_positions[copied, at[target]].abs().max() == 0
    step = 4e-4
    moved = table.positions.clone()
    moved[:, at[source]] += step
    ahead = layout.copies.resolve(levels, moved, layout.ranks.T).positions[:, at[target]]
    found = (ahead - resolved.positions[:, at[target]]) / step
    inside = copied & (resolved.positions[:, at[source]] < 0.9)
    inside &= resolved.slopes[copy] < views.copies.steepest
    error = (to_positions[inside, at[source]] - found[inside]).abs()
    assert error.median() < 0.05
    # A plain cell's gradient at the code "copy" looks at the rank that the copy would have.
    level = int(layout.copies.levels[copy])
    plain = ~copied
    wanted = (resolved.ranks[copy] - table.positions[:, at[target]])[plain]
    torch.testing.assert_close(to_codes[plain, level], wanted)
    assert to_codes[copied, level].abs().max() == 0
    without = row_views_backward(gradient, levels, resolved.positions, views.known)[0]
    torch.testing.assert_close(to_positions[plain], without[plain])


def test_relations_can_be_named_or_switched_off(houses):
    named = TableEncoder(["cell"], relations=["living = above + basement"]).fit(houses)
    assert [step.target for step in named.held.steps] == ["living"]
    off = TableEncoder(["cell"]).fit(houses)
    assert off.held.steps == ()
    assert off.held.rebuilt == ()
    with pytest.raises(ValueError, match="'living = rooms' is none that the table has"):
        TableEncoder(["cell"], relations=["living = rooms"]).fit(houses)


def test_fixed_columns_are_not_rebuilt(houses):
    encoder = TableEncoder(["cell"], relations="auto", fixed_columns=["living"]).fit(houses)
    assert "living" in [column.name for column in encoder.columns]
    assert "living" not in [step.target for step in encoder.held.steps]


def test_new_rows_that_break_what_is_rebuilt_are_refused(houses, encoder):
    broken = houses.copy()
    broken.loc[7, "living"] += 10
    with pytest.raises(ValueError, match=r"'living' was rebuilt by .* in row 7"):
        encoder.check_same_kind(broken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.check_same_kind(houses)


def test_a_sum_that_is_missing_by_itself_is_copied_where_it_is_not():
    rng = np.random.default_rng(0)
    net, tax = rng.integers(100, 9_000, (2, 1_500))
    total = (net + tax).astype(float)
    total[rng.random(1_500) < 0.2] = np.nan
    frame = pd.DataFrame({"net": net, "tax": tax.astype(float), "total": total})
    frame.loc[rng.random(1_500) < 0.3, "tax"] = np.nan
    known = frame["tax"].notna() & frame["total"].notna()
    frame.loc[~known & frame["total"].notna(), "total"] = rng.integers(
        200, 18_000, int((~known & frame["total"].notna()).sum())
    )
    encoder = TableEncoder(relations="auto").fit(frame)
    step = encoder.held.steps[0]
    assert (step.how, step.target) == ("always copied", "total")
    codes = np.stack([rng.integers(0, width, 2_000) for width in encoder.widths], 1)
    positions = torch.rand(2_000, sum(column.has_positions for column in encoder.columns))
    made = encoder.decode(EncodedTable(torch.from_numpy(codes), positions))
    said = made.notna().all(axis=1)
    right = (made["total"] == made["net"] + made["tax"])[said]
    inside = (made["net"] + made["tax"])[said].between(total[known].min(), total[known].max())
    assert right[inside].all()
    assert made["total"].isna().any()


def test_circles_are_left_open():
    """Three columns that are pairwise equal in a share: none is a copy of a copy of itself."""
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 10**6, (3, 2_000))
    b = np.where(rng.random(2_000) < 0.2, a, b)
    c = np.where(rng.random(2_000) < 0.2, b, c)
    a = np.where(rng.random(2_000) < 0.2, c, a)
    frame = pd.DataFrame({"a": a, "b": b, "c": c})
    encoder = TableEncoder(relations="auto").fit(frame)
    order = {step.target: place for place, step in enumerate(encoder.held.steps)}
    assert len(encoder.held.steps) >= 2
    for step in encoder.held.steps:
        for source in step.sources:
            assert order.get(source, -1) < order[step.target]
    back = encoder.decode(encoder.encode(frame))
    for one, other in (("a", "b"), ("b", "c"), ("a", "c")):
        equal = (frame[one] == frame[other]).mean()
        assert (back[one] == back[other]).mean() == pytest.approx(equal, abs=0.02)


def random_rows(encoder, rows=2_000):
    rng = np.random.default_rng(1)
    codes = np.stack([rng.integers(0, width, rows) for width in encoder.widths], 1)
    positions = torch.rand(rows, sum(column.has_positions for column in encoder.columns))
    return encoder.decode(EncodedTable(torch.from_numpy(codes), positions))


def test_a_copy_that_is_missing_by_itself_is_made_where_it_is_there():
    """Every value that is there is a copy: nothing would be left to model without them."""
    rng = np.random.default_rng(0)
    a = rng.lognormal(4, 1, 1_000).round(2)
    frame = pd.DataFrame({"a": a, "c": np.where(rng.random(1_000) < 0.1, np.nan, a)})
    encoder = TableEncoder(relations="auto").fit(frame)
    made = random_rows(encoder)
    there = made["c"].notna()
    assert 0 < there.mean() < 1
    assert (made["c"] == made["a"])[there].all()


def test_a_column_is_made_in_one_way():
    """Of a ratio with division by zero and a product, which both give the first column."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 50, 600), rng.integers(0, 9_000, 600).astype(float)
    frame = pd.DataFrame(
        {
            "y": y,
            "x": x,
            "q": y / np.where(x == 0, np.nan, x),
            "w": x + 1,
            "q2": (y / (x + 1)).round(2),
        }
    )
    encoder = TableEncoder(relations="auto").fit(frame)
    targets = [step.target for step in encoder.held.steps if step.how != "mended"]
    assert len(targets) == len(set(targets)) >= 2
    assert encoder.decode(encoder.encode(frame)).dtypes.equals(frame.dtypes)


@pytest.mark.parametrize("names", [(0, 1, 3, "other"), ("index", 4, 5, "a b")])
def test_names_of_columns_need_not_be_text(names):
    rng = np.random.default_rng(0)
    i, j = rng.integers(1, 1_000, (2, 1_000))
    frame = pd.DataFrame(dict(zip(names, (i, j, i + j, i), strict=True)))
    encoder = TableEncoder(relations="auto").fit(frame)
    assert len([step.relation.statement for step in encoder.held.steps]) >= 2
    made = random_rows(encoder)
    kept = ~encoder.held.bad(made)
    assert (made[names[2]] == made[names[0]] + made[names[1]])[kept].all()


def test_numbers_of_single_precision_keep_their_sums():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {name: rng.lognormal(3, 1, 1_000).round(2).astype(np.float32) for name in "ab"}
    )
    frame["c"] = (frame["a"] + frame["b"]).round(2)
    encoder = TableEncoder(relations="auto").fit(frame)
    made = random_rows(encoder)
    assert made.dtypes.equals(frame.dtypes)
    found = find_relations(frame)
    assert [r.statement for r in found.of_kind("sum")] == ["c = a + b"]
    kept = made[~encoder.held.bad(made)]
    assert found.rates(kept)[0] == 1.0
