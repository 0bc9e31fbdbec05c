"""Several tables with keys between them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sdv.errors import SynthesizerInputError
from sdv.metadata import Metadata

from sdv_wgangp import load_model
from sdv_wgangp.multi_table import Cardinality, IndependentWGANGPMFSSynthesizer
from sdv_wgangp.persistence import ModelFileError
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions

FAST = {
    "epochs": 1,
    "min_steps_per_epoch": 4,
    "batch_size": 50,
    "generator_dim": (16,),
    "discriminator_dim": (16,),
    "calibration_options": {"max_pool_rows": 2**12},
    "random_state": 0,
}
USERS, SHOPS = 120, 15


def shop_tables():
    """Some users have profiles, orders refer to users and shops, links have nothing but keys."""
    random = np.random.default_rng(0)
    users = pd.DataFrame(
        {
            "user": [f"u{i:05}" for i in range(USERS)],
            "age": random.integers(18, 80, USERS),
            "group": random.choice(["a", "b"], USERS),
        }
    )
    shops = pd.DataFrame({"shop": 2**60 + np.arange(SHOPS), "size": random.normal(size=SHOPS)})
    orders_of = random.choice([0, 1, 2, 7], USERS, p=[0.4, 0.3, 0.2, 0.1])
    rows = orders_of.sum()
    shop = pd.Series(random.choice(shops["shop"], rows)).astype("Int64")
    shop[random.permutation(rows)[: rows // 4]] = None
    orders = pd.DataFrame(
        {
            "order": np.arange(rows),
            "buyer": random.permutation(np.repeat(users["user"], orders_of)),
            "seller": shop,
            "price": random.lognormal(size=rows).round(2),
        }
    )
    profiles = users[["user"]].iloc[:50].assign(color=random.choice(["red", "blue"], 50))
    links = pd.DataFrame(
        {
            "one": random.choice(users["user"], 80),
            "other": random.choice(users["user"], 80),
        }
    )
    return {
        "users": users,
        "shops": shops,
        "orders": orders,
        "profiles": profiles.reset_index(drop=True),
        "links": links,
    }


def metadata():
    user = {"sdtype": "id", "regex_format": r"u\d{5}"}
    tables = {
        "users": {
            "primary_key": "user",
            "columns": {
                "user": user,
                "age": {"sdtype": "numerical"},
                "group": {"sdtype": "categorical"},
            },
        },
        "shops": {
            "primary_key": "shop",
            "columns": {"shop": {"sdtype": "id"}, "size": {"sdtype": "numerical"}},
        },
        "orders": {
            "primary_key": "order",
            "columns": {
                "order": {"sdtype": "id"},
                "buyer": user,
                "seller": {"sdtype": "id"},
                "price": {"sdtype": "numerical"},
            },
        },
        "profiles": {
            "primary_key": "user",
            "columns": {"user": user, "color": {"sdtype": "categorical"}},
        },
        "links": {"columns": {"one": user, "other": user}},
    }
    references = [
        ("users", "user", "orders", "buyer"),
        ("shops", "shop", "orders", "seller"),
        ("users", "user", "profiles", "user"),
        ("users", "user", "links", "one"),
        ("users", "user", "links", "other"),
    ]
    relationships = [
        {
            "parent_table_name": parent,
            "parent_primary_key": primary,
            "child_table_name": child,
            "child_foreign_key": foreign,
        }
        for parent, primary, child, foreign in references
    ]
    return Metadata.load_from_dict({"tables": tables, "relationships": relationships})


def fitted(**options):
    synthesizer = IndependentWGANGPMFSSynthesizer(metadata(), table_parameters=FAST, **options)
    synthesizer.fit(shop_tables())
    return synthesizer


def sample(synthesizer, scale=1.0):
    synthesizer.reset_sampling()
    return draw(synthesizer, scale)


def draw(synthesizer, scale):
    if sdv_versions.takes_dictionaries():
        return synthesizer.sample_scale(scale)
    return synthesizer.sample(scale)


@pytest.fixture(scope="module")
def synthesizer():
    return fitted()


def children(tables, parent, primary, child, foreign):
    """Sorted numbers of children of each parent."""
    counts = tables[child][foreign].value_counts()
    return np.sort(counts.reindex(tables[parent][primary], fill_value=0).to_numpy())


REFERENCES = [
    tuple(relation.values())
    for relation in [
        {key: each[key] for key in sorted(each)} for each in metadata().to_dict()["relationships"]
    ]
]  # child key, child, parent key, parent


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_keys_refer_to_rows_that_exist(synthesizer, scale):
    real, tables = shop_tables(), sample(synthesizer, scale)
    metadata().validate_data(tables)
    assert list(tables) == list(real)
    for name, table in tables.items():
        assert list(table) == list(real[name])
        assert abs(len(table) - scale * len(real[name])) < 1
        assert (table.dtypes == real[name].dtypes).all()
    for foreign, child, primary, parent in REFERENCES:
        assert tables[child][foreign].dropna().isin(tables[parent][primary]).all()
        assert tables[parent][primary].is_unique
    assert tables["profiles"]["user"].is_unique


def test_numbers_of_children_are_those_of_the_table(synthesizer):
    """At the table's own size exactly; at other sizes in their shares."""
    real = shop_tables()
    own, more = sample(synthesizer), sample(synthesizer, 3)
    for foreign, child, primary, parent in REFERENCES:
        expected = children(real, parent, primary, child, foreign)
        found = children(own, parent, primary, child, foreign)
        np.testing.assert_array_equal(found, expected)
        found = children(more, parent, primary, child, foreign)
        assert abs(np.repeat(expected, 3) - found).mean() < 0.05
        assert set(found) <= set(range(expected.min(), expected.max() + 1))
        shares = [tables[child][foreign].isna().mean() for tables in (real, own, more)]
        assert np.ptp(shares) < 0.01


def test_sampling_repeats_after_a_reset_only(synthesizer):
    first = sample(synthesizer)
    second = draw(synthesizer, 1.0)
    again = sample(synthesizer)
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, again[name])
    assert not first["orders"]["buyer"].equals(second["orders"]["buyer"])
    assert not first["users"]["age"].equals(second["users"]["age"])


def test_the_global_generator_is_left_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    sample(fitted())
    assert np.random.random() == expected


def test_parameters_reach_every_table_and_can_be_changed_for_one():
    synthesizer = IndependentWGANGPMFSSynthesizer(metadata(), ["de_DE"], {"epochs": 3, "pac": 2})
    synthesizer.set_table_parameters("users", {"epochs": 1, "batch_size": 60})
    for name, epochs, batch_size in (("users", 1, 60), ("shops", 3, "auto")):
        found = synthesizer.get_table_parameters(name)
        assert found["synthesizer_name"] == "WGANGPMFSSynthesizer"
        given = {"epochs": epochs, "batch_size": batch_size, "pac": 2, "locales": ["de_DE"]}
        assert given.items() <= found["synthesizer_parameters"].items()
    assert synthesizer.get_parameters() == {
        "locales": ["de_DE"],
        "table_parameters": {"epochs": 3, "pac": 2},
        "verbose": False,
    }
    with pytest.raises(SynthesizerInputError, match="epochs must be 'auto' or a whole number"):
        synthesizer.set_table_parameters("users", {"epochs": -1})
    with pytest.raises(SynthesizerInputError, match="table_parameters has no parameter 'epoch'"):
        synthesizer.set_table_parameters("users", {"epoch": 1})
    with pytest.raises(SynthesizerInputError, match="table_parameters has no parameter 'epoch'"):
        IndependentWGANGPMFSSynthesizer(metadata(), table_parameters={"epoch": 1})
    with pytest.raises(SynthesizerInputError, match="pac must be a whole number of at least 1"):
        IndependentWGANGPMFSSynthesizer(metadata(), table_parameters={"pac": 0})
    with pytest.raises(SynthesizerInputError, match="verbose must be True or False, not 1"):
        IndependentWGANGPMFSSynthesizer(metadata(), verbose=1)
    with pytest.raises(SynthesizerInputError, match="table_parameters must be None or"):
        IndependentWGANGPMFSSynthesizer(metadata(), table_parameters=[1])


def test_loss_values_of_every_table(synthesizer):
    assert len(synthesizer.get_loss_values("orders")) == 1
    assert synthesizer.get_loss_values("links").empty
    with pytest.raises(ValueError, match="'nothing' is not present"):
        synthesizer.get_loss_values("nothing")


def test_constraints_of_a_table():
    from sdv.cag import FixedCombinations

    tables = shop_tables()
    tables["users"]["initial"] = tables["users"]["group"].str.upper()
    meta = metadata()
    meta.add_column(table_name="users", column_name="initial", sdtype="categorical")
    synthesizer = IndependentWGANGPMFSSynthesizer(meta, table_parameters=FAST)
    synthesizer.add_constraints([FixedCombinations(["group", "initial"], table_name="users")])
    synthesizer.fit(tables)
    users = sample(synthesizer)["users"]
    assert (users["initial"] == users["group"].str.upper()).all()
    assert synthesizer.get_table_parameters("users")["synthesizer_parameters"]["epochs"] == 1


def test_a_sampling_seed_gives_other_rows_keys_and_references(synthesizer):
    drawn = []
    for seed in (1, 1, 2):
        synthesizer.set_sampling_seed(seed)
        drawn.append(draw(synthesizer, 0.5))
    first, again, other = drawn
    for name, table in first.items():
        pd.testing.assert_frame_equal(again[name], table)
    for name, key in (("users", "user"), ("shops", "shop"), ("orders", "order")):
        assert not set(first[name][key]) & set(other[name][key])
        assert set(other["orders"]["buyer"]) <= set(other["users"]["user"])
    assert not first["users"]["age"].equals(other["users"]["age"])
    rows_of_buyers = [
        each["orders"]["buyer"].map({key: row for row, key in enumerate(each["users"]["user"])})
        for each in (first, other)
    ]
    assert not rows_of_buyers[0].equals(rows_of_buyers[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_processes_draw_other_tables(synthesizer, tmp_path):
    synthesizer.save_model(tmp_path / "model.safetensors")
    code = (
        "import multiprocessing, pickle, sys; from sdv_wgangp import load_model\n"
        "from sdv_wgangp.synthesizers import sdv_versions\n"
        "loaded = load_model(sys.argv[1])\n"
        "def draw():\n"
        "    if sdv_versions.takes_dictionaries(): return loaded.sample_scale(1.0)\n"
        "    return loaded.sample(1.0)\n"
        "context, parts = multiprocessing.get_context('fork'), []\n"
        "for _ in range(2):\n"
        "    with context.Pool(1) as pool: parts.append(pool.apply(draw))\n"
        "pickle.dump([*parts, draw()], open(sys.argv[2], 'wb'))"
    )
    paths = [str(tmp_path / name) for name in ("model.safetensors", "tables.pkl")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True, timeout=300)
    one, two, own = pd.read_pickle(paths[1])
    for name, column in (("users", "user"), ("users", "age"), ("shops", "shop")):
        assert not one[name][column].equals(two[name][column])
    for name, table in sample(synthesizer).items():
        pd.testing.assert_frame_equal(own[name], table)
    assert load_model(paths[0]).get_metadata().to_dict() == metadata().to_dict()


def test_what_a_model_file_cannot_hold_is_known_before_the_fit():
    tables = shop_tables()
    tables["users"]["group"] = pd.Series([1 + 1j, 2j] * (USERS // 2))
    synthesizer = IndependentWGANGPMFSSynthesizer(metadata(), table_parameters=FAST)
    synthesizer.check_model_file(shop_tables())
    with pytest.raises(ModelFileError, match=r"column 'group' holds .*complex128"):
        synthesizer.check_model_file(tables)


def test_tables_are_saved_in_both_formats(synthesizer, tmp_path):
    expected = sample(synthesizer)
    synthesizer.save(str(tmp_path / "model.pkl"))
    synthesizer.save_model(tmp_path / "model.safetensors")
    for loaded in (
        sdv_versions.load(tmp_path / "model.pkl"),
        IndependentWGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors"),
    ):
        found = sample(loaded)
        for name, table in expected.items():
            pd.testing.assert_frame_equal(found[name], table)
        assert loaded.get_parameters() == synthesizer.get_parameters()
        loaded.fit(shop_tables())
        metadata().validate_data(sample(loaded))
    with pytest.raises(ModelFileError, match=r"load it with Independent.*\.load_model"):
        WGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors")


# ------------------------------------------------------------------------------- cardinalities


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.integers(0, 20),
    st.integers(0, 200),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_every_row_gets_a_parent_and_the_range_is_kept(counts, nulls, rows, parents, seed):
    keys = np.repeat(np.arange(len(counts), dtype=float), counts)
    keys = pd.Series(np.append(keys, np.full(nulls, np.nan)))
    assume(len(keys))
    learned = Cardinality.of(keys, len(counts))
    drawn = learned.draw(rows, parents, np.random.default_rng(seed))
    assert drawn.shape == (rows,)
    assert abs((drawn < 0).sum() - nulls / len(keys) * rows) <= 0.5
    found = np.bincount(drawn[drawn >= 0], minlength=parents)
    assert len(found) == parents
    if parents * min(counts) <= found.sum() <= parents * max(counts):
        assert min(counts) <= found.min()
        assert found.max() <= max(counts)


def test_the_same_size_gives_the_same_numbers():
    counts = np.array([0, 0, 0, 1, 5])
    learned = Cardinality.of(pd.Series(np.repeat(np.arange(5), counts)), 5)
    assert learned.children.tolist() == [0, 1, 5]
    assert learned.parents.tolist() == [3, 1, 1]
    drawn = learned.draw(6, 5, np.random.default_rng(0))
    assert sorted(np.bincount(drawn, minlength=5)) == sorted(counts)
