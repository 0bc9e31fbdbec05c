"""Synthesizers in model files and pickles."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import rdt.transformers
import sdv.cag
import torch
from sdv.errors import VersionError
from sdv.metadata import Metadata
from sdv.sampling import Condition

import sdv_wgangp
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.calibration.values import fit_rare_atoms
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.objectives.meta_features import own_meta_features, register_meta_feature
from sdv_wgangp.persistence import ModelFileError
from sdv_wgangp.persistence.container import ModelFile
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import saving, sdv_versions
from sdv_wgangp.training.log import EpochLog
from sdv_wgangp.training.settings import TrainingSettings

FAST = {
    "epochs": 0,
    "min_steps_per_epoch": 4,
    "batch_size": 100,
    "generator_dim": (16,),
    "discriminator_dim": (16,),
    "calibration_options": {"max_pool_rows": 2**12},
    "random_state": 0,
}
ROWS = 240


def visits(rows=ROWS):
    """A key, an alternate key, personal data, dates, nulls, mixed types; numbers of all kinds."""
    random = np.random.default_rng(0)
    low = random.integers(0, 50, rows)
    kind = random.choice(["a", "b", "c"], rows)
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 500, rows), "D")
    one = random.integers(0, 3, rows)
    return pd.DataFrame(
        {
            "code": [f"V-{i:04}" for i in range(rows)],
            "email": [f"u{i}@example.org" for i in range(rows)],
            "ticket": [f"t{i:05}" for i in range(rows)],
            "low": low,
            "middle": low + random.integers(1, 5, rows),
            "high": low + 10.5,
            "share": random.random(rows).round(3) * 0.8 + 0.1,
            "five": 5 * random.integers(0, 9, rows),
            "kind": np.where(random.random(rows) < 0.2, None, kind),
            "twin": pd.Series(kind).map({"a": "p", "b": "q", "c": "r"}),
            "letter": kind,
            "member": random.random(rows) < 0.5,
            "start": day,
            "end": day + pd.Timedelta("3D"),
            "mixed": random.choice(np.array([1, "one", 1.5, None], dtype=object), rows),
            **{f"is_{place}": (one == place).astype(int) for place in range(3)},
        }
    )


def metadata():
    sdtypes = {
        "numerical": ["low", "middle", "high", "share", "five", "is_0", "is_1", "is_2"],
        "categorical": ["kind", "twin", "letter", "mixed"],
        "boolean": ["member"],
        "datetime": ["start", "end"],
    }
    columns = {name: {"sdtype": kind} for kind, names in sdtypes.items() for name in names}
    columns["code"] = {"sdtype": "id", "regex_format": r"V-\d{4}"}
    columns["ticket"] = {"sdtype": "id", "regex_format": r"t\d{5}"}
    columns["email"] = {"sdtype": "email", "pii": True}
    columns = {name: columns[name] for name in visits(1)}
    table = {"columns": columns, "primary_key": "code", "alternate_keys": ["ticket"]}
    return Metadata.load_from_dict({"tables": {"visits": table}})


def fitted(constraints=(), transformers=None, frame=None, **options):
    synthesizer = WGANGPMFSSynthesizer(metadata(), **FAST | options)
    data = sdv_versions.as_fit_input(metadata(), visits() if frame is None else frame)
    if constraints:
        synthesizer.add_constraints(list(constraints))
    if transformers:
        synthesizer.auto_assign_transformers(data)
        synthesizer.update_transformers(transformers)
    synthesizer.fit(data)
    return synthesizer


def rows_of(synthesizer, rows=60):
    synthesizer.reset_sampling()
    return sdv_versions.as_frame(synthesizer.sample(rows))


def through_file(synthesizer, tmp_path):
    synthesizer.save_model(tmp_path / "model.safetensors")
    return WGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors")


@pytest.fixture(scope="module")
def synthesizer():
    return fitted(epochs=1)


@pytest.fixture
def file(synthesizer, tmp_path):
    synthesizer.save_model(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


# ------------------------------------------------------------------------------ what comes back


def test_a_loaded_model_samples_as_the_saved_one(synthesizer, tmp_path):
    expected = rows_of(synthesizer)
    synthesizer.sample(7)  # somewhere in the middle of its random numbers
    loaded = through_file(synthesizer, tmp_path)
    pd.testing.assert_frame_equal(sdv_versions.as_frame(loaded.sample(60)), expected)
    more = sdv_versions.as_frame(loaded.sample(60))
    assert not more["low"].equals(expected["low"])
    assert not set(more["code"]) & set(expected["code"])
    pd.testing.assert_frame_equal(rows_of(loaded), expected)


def test_everything_else_is_there_too(synthesizer, tmp_path):
    loaded = through_file(synthesizer, tmp_path)
    assert loaded.get_parameters() == synthesizer.get_parameters()
    assert loaded.get_info() == synthesizer.get_info()
    for version in ("original", "modified"):
        assert (
            loaded.get_metadata(version).to_dict() == synthesizer.get_metadata(version).to_dict()
        )
    pd.testing.assert_frame_equal(loaded.get_loss_values(), synthesizer.get_loss_values())
    assert repr(loaded.get_transformers()) == repr(synthesizer.get_transformers())
    condition = [Condition({"letter": "b"}, num_rows=20)]
    both = []
    for each in (synthesizer, loaded):
        each.reset_sampling()
        both.append(sdv_versions.as_frame(each.sample_from_conditions(condition)))
    pd.testing.assert_frame_equal(*both)
    assert both[1]["letter"].eq("b").all()
    loaded.validate(sdv_versions.as_fit_input(metadata(), visits()))


def test_a_loaded_model_can_be_fitted_again(synthesizer, tmp_path):
    loaded = through_file(synthesizer, tmp_path)
    expected = rows_of(fitted(frame=visits(150), epochs=1))
    loaded.fit(sdv_versions.as_fit_input(metadata(), visits(150)))
    pd.testing.assert_frame_equal(rows_of(loaded), expected)


def test_a_loaded_model_is_saved_as_it_was(file, tmp_path):
    again = [tmp_path / "second.safetensors", tmp_path / "third.safetensors"]
    for source, path in zip([file, again[0]], again, strict=True):
        WGANGPMFSSynthesizer.load_model(source).save_model(path)
    first, second = map(ModelFile.read, again)
    assert first.state == second.state
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name])


def test_before_fit_and_without_a_model(tmp_path):
    synthesizer = WGANGPMFSSynthesizer(metadata(), **FAST)
    with pytest.warns(UserWarning, match="not yet been fitted"):
        loaded = through_file(synthesizer, tmp_path)
    data = sdv_versions.as_fit_input(metadata(), visits())
    for each in (synthesizer, loaded):
        each.fit(data)
    pd.testing.assert_frame_equal(rows_of(loaded), rows_of(synthesizer))
    table = {"columns": {"email": {"sdtype": "email", "pii": True}}}
    keys = Metadata.load_from_dict({"tables": {"visits": table}})
    synthesizer = WGANGPMFSSynthesizer(keys, **FAST)
    synthesizer.fit(sdv_versions.as_fit_input(keys, visits()[["email"]]))
    loaded = through_file(synthesizer, tmp_path)
    pd.testing.assert_frame_equal(rows_of(loaded), rows_of(synthesizer))


CONSTRAINTS = {
    "numbers": [sdv.cag.Inequality("low", "high")],
    "all others": [
        sdv.cag.Inequality("start", "end", strict_boundaries=True),
        sdv.cag.Range("low", "middle", "high"),
        sdv.cag.FixedCombinations(["twin", "letter"]),
        sdv.cag.FixedIncrements("five", 5),
        sdv.cag.OneHotEncoding(["is_0", "is_1", "is_2"]),
    ],
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_are_kept(name, tmp_path):
    synthesizer = fitted(CONSTRAINTS[name])
    loaded = through_file(synthesizer, tmp_path)
    rows = rows_of(loaded)
    pd.testing.assert_frame_equal(rows, rows_of(synthesizer))
    loaded.validate_constraints(rows)
    assert repr(loaded.get_constraints()[0].get_constraint_dict()) == repr(
        synthesizer.get_constraints()[0].get_constraint_dict()
    )


TRANSFORMERS = {
    "share": [
        rdt.transformers.FloatFormatter(missing_value_generation="from_column"),
        rdt.transformers.ClusterBasedNormalizer(max_clusters=3),
        rdt.transformers.GaussianNormalizer(),
        rdt.transformers.LogScaler(constant=0.0),
        rdt.transformers.LogitScaler(min_value=0.0, max_value=1.0),
    ],
    "letter": [
        rdt.transformers.LabelEncoder(add_noise=True),
        rdt.transformers.OneHotEncoder(),
        rdt.transformers.UniformEncoder(),
    ],
    "member": [rdt.transformers.BinaryEncoder()],
    "start": [rdt.transformers.OptimizedTimestampEncoder()],
    "ticket": [
        rdt.transformers.IndexGenerator(prefix="t"),
        rdt.transformers.RegexGenerator(regex_format=r"x\d{4}", cardinality_rule="unique"),
    ],
    "email": [
        rdt.transformers.AnonymizedFaker("person", "name", locales=["de_DE", "fr_FR"]),
        rdt.transformers.AnonymizedFaker("company", "company", cardinality_rule="match"),
        rdt.transformers.AnonymizedFaker("company", "company", cardinality_rule="scale"),
        rdt.transformers.PseudoAnonymizedFaker(
            function_name="bothify", function_kwargs={"text": "?" * 8}
        ),
    ],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("turn", range(max(map(len, TRANSFORMERS.values()))))
def test_transformers_of_rdt_are_kept(turn, tmp_path):
    """Each in a turn, beside those of other columns."""
    of_turn = {name: each[turn] for name, each in TRANSFORMERS.items() if turn < len(each)}
    synthesizer = fitted(transformers=of_turn)
    rows_of(synthesizer)  # some of them settle their values when they are first drawn
    pd.testing.assert_frame_equal(
        rows_of(through_file(synthesizer, tmp_path)), rows_of(synthesizer)
    )


def test_dtypes_of_pandas_are_kept(tmp_path):
    dtypes = ["Int64", "string", "category", "int8", "int64[pyarrow]"]
    frame = pd.DataFrame({dtype: visits()["low"].astype(dtype) for dtype in dtypes})
    sdtypes = {name: {"sdtype": "numerical"} for name in frame}
    sdtypes |= {name: {"sdtype": "categorical"} for name in ("string", "category")}
    meta = Metadata.load_from_dict({"tables": {"visits": {"columns": sdtypes}}})
    synthesizer = WGANGPMFSSynthesizer(meta, **FAST)
    synthesizer.fit(sdv_versions.as_fit_input(meta, frame))
    rows = rows_of(through_file(synthesizer, tmp_path))
    pd.testing.assert_series_equal(rows.dtypes, frame.dtypes)
    pd.testing.assert_frame_equal(rows, rows_of(synthesizer))


def test_meta_features_of_the_user_need_not_be_known_to_sample(tmp_path):
    """The file holds their names; functions are for fitting."""
    with own_meta_features():
        register_meta_feature("third power", lambda channels: channels.pow(3).mean(-2))
        options = FAST | {"epochs": 1, "meta_features": ["third power"]}
        synthesizer = WGANGPMFSSynthesizer(metadata(), **options)
        synthesizer.fit(sdv_versions.as_fit_input(metadata(), visits()))
        synthesizer.save_model(tmp_path / "model.safetensors")
    loaded = WGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors")
    pd.testing.assert_frame_equal(rows_of(loaded), rows_of(synthesizer))
    with pytest.raises(ValueError, match="unknown meta-feature 'third power'"):
        loaded.fit(sdv_versions.as_fit_input(metadata(), visits()))


def test_without_compiled_operators(file):
    code = (
        "import sys; sys.modules['sdv_wgangp._C'] = None\n"
        "from sdv_wgangp import load_model\n"
        "from sdv_wgangp.synthesizers import sdv_versions\n"
        "print(len(sdv_versions.as_frame(load_model(sys.argv[1]).sample(25))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "25"


# ------------------------------------------------------------------------------ what is refused


class Mine(rdt.transformers.FloatFormatter):
    pass


def test_code_of_the_user_is_named(tmp_path):
    synthesizer = fitted(transformers={"share": Mine()})
    with pytest.raises(ModelFileError, match=r"Mine \(at .*'share'.*\).* use save\(\) instead"):
        synthesizer.save_model(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_class_of_the_user_is_named(tmp_path):
    class Own(WGANGPMFSSynthesizer):
        pass

    with (
        pytest.warns(UserWarning, match="not yet been fitted"),
        pytest.raises(ModelFileError, match=r"an object of .*Own"),
    ):
        Own(metadata(), **FAST).save_model(tmp_path / "model.safetensors")


def resigned(path, change):
    """The file with its content changed and a right checksum: what an attacker would make."""
    file = ModelFile.read(path)
    change(file)
    file.write(path)


def replace(value, old, new):
    """JSON with every ``old`` replaced."""
    if value == old:
        return new
    if isinstance(value, list):
        return [replace(each, old, new) for each in value]
    if isinstance(value, dict):
        return {key: replace(each, old, new) for key, each in value.items()}
    return value


def rewrite(old, new):
    def change(file):
        text = json.dumps(file.state)
        assert json.dumps(old) in text
        changed = replace(file.state, old, new)
        file.state.clear()
        file.state.update(changed)

    return change


def drop_first(ending):
    return tensors_of(ending, lambda tensor: tensor[1:])


def tensors_of(ending, function):
    """Put what a function makes of the first such tensor in its place."""

    def change(file):
        name = next(name for name in sorted(file.tensors) if name.endswith(ending))
        file.tensors[name] = function(file.tensors[name]).contiguous()

    return change


poison = tensors_of("['logits.weight']", lambda weight: weight * torch.nan)


def hide_a_method(file):
    file.state["object"][2]["sample"] = "data"


ATTACKS = {
    "a class of the system": rewrite("sdv_wgangp.TableEncoder", "os.system"),
    "another class": rewrite("sdv_wgangp.TableEncoder", "sdv.CTGANSynthesizer"),
    "a wrong class": rewrite("sdv_wgangp.TableEncoder", "sdv_wgangp.RankAxis"),
    "no synthesizer": rewrite("sdv_wgangp.WGANGPMFSSynthesizer", "sdv_wgangp.RankAxis"),
    "a method of faker": rewrite("email", "__init_subclass__"),
    "a function of faker": rewrite("internet", "no.such.provider"),
    "a method hidden": hide_a_method,
    "a regular expression": rewrite(r"V-\d{4}", "("),
    "a locale": rewrite("en_US", "os"),
    "a parameter": rewrite(FAST["batch_size"], -5),
    "weights of another shape": drop_first("['logits.weight']"),
    "weights that are not finite": poison,
    "counts of another shape": drop_first("].counts"),
    "ranks of another shape": drop_first("].ranks"),
    "factors of another shape": drop_first(".factors[0]"),
    "ranks of another length": drop_first(".knots"),
    "ranks that fall": tensors_of(".distribution", lambda distribution: distribution.flip(0)),
    "ranks that are not finite": tensors_of(".knots", lambda knots: knots * torch.nan),
    "an absent tensor": lambda file: file.tensors.popitem(),
    "no state": lambda file: file.state.clear(),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_tampered_files_with_a_right_checksum_are_refused(name, file):
    resigned(file, ATTACKS[name])
    with pytest.raises(ModelFileError, match="does not hold a model") as caught:
        WGANGPMFSSynthesizer.load_model(file)
    assert str(file) in str(caught.value)


@pytest.fixture(scope="module")
def of_two_stages():
    """A synthesizer with two stages of trees: hardly trained, of a table that is large enough."""
    random = np.random.default_rng(0)
    x = random.normal(size=1_500)
    frame = pd.DataFrame({"x": x, "y": x + 0.05 * random.normal(size=1_500)})
    columns = {name: {"sdtype": "numerical"} for name in frame}
    metadata = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}})
    synthesizer = WGANGPMFSSynthesizer(metadata, epochs=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        synthesizer.fit(sdv_versions.as_fit_input(synthesizer.metadata, frame))
    assert len(synthesizer.model.calibration.ratio.stages) == 2
    return synthesizer


def test_two_stages_of_trees_come_back(of_two_stages, tmp_path):
    expected = rows_of(of_two_stages)
    pd.testing.assert_frame_equal(rows_of(through_file(of_two_stages, tmp_path)), expected)


@pytest.mark.parametrize(
    "change",
    [
        tensors_of(".leaves", lambda leaves: leaves * torch.nan),
        tensors_of(".features", lambda features: features + 99),
        drop_first(".places[0]"),
    ],
)
def test_tampered_trees_are_refused(of_two_stages, tmp_path, change):
    of_two_stages.save_model(tmp_path / "trees.safetensors")
    resigned(tmp_path / "trees.safetensors", change)
    with pytest.raises(ModelFileError, match="does not hold a model"):
        WGANGPMFSSynthesizer.load_model(tmp_path / "trees.safetensors")


@pytest.mark.parametrize("limits", [[], [0.0], [1.0, 1.0]])
def test_limits_that_do_not_fit_the_trees_are_refused(of_two_stages, tmp_path, limits):
    changed = copy.deepcopy(of_two_stages)
    changed.model.calibration.ratio.limits = limits
    changed.save_model(tmp_path / "limits.safetensors")
    with pytest.raises(ModelFileError, match="limits of weights that do not fit the trees"):
        WGANGPMFSSynthesizer.load_model(tmp_path / "limits.safetensors")


@pytest.fixture
def file_with_rare_atoms(synthesizer, tmp_path):
    """A model with a map of atoms: here all are taken for rare."""
    changed = copy.deepcopy(synthesizer)
    model = changed.model
    index = [column.name for column in model.encoder.columns].index("five")
    column = model.encoder.columns[index]
    codes = torch.zeros(500, len(model.encoder.columns), dtype=torch.int16)
    pool = EncodedTable(codes, torch.zeros(500, 0))
    all_rare = CalibrationOptions(rare_frequency=1)
    atoms = fit_rare_atoms(column, index, pool, all_rare)
    assert atoms is not None
    model.calibration.values.maps.append(atoms)
    changed.save_model(tmp_path / "atoms.safetensors")
    return tmp_path / "atoms.safetensors", rows_of(changed)


def test_maps_of_rare_atoms_come_back(file_with_rare_atoms):
    path, expected = file_with_rare_atoms
    pd.testing.assert_frame_equal(rows_of(WGANGPMFSSynthesizer.load_model(path)), expected)


@pytest.mark.parametrize(
    "change",
    [
        drop_first(".below"),
        drop_first(".last"),
        tensors_of(".wanted", lambda ranks: ranks.flip(0)),
        tensors_of(".wanted", lambda ranks: ranks.float()),
        tensors_of(".wanted", lambda ranks: ranks.reshape(1, -1)),
        tensors_of(".last", lambda last: last + 99),
        tensors_of(".last", lambda last: last * 0.5),
    ],
)
def test_tampered_maps_of_rare_atoms_are_refused(file_with_rare_atoms, change):
    path, _ = file_with_rare_atoms
    resigned(path, change)
    with pytest.raises(ModelFileError, match="does not hold a model"):
        WGANGPMFSSynthesizer.load_model(path)


def test_a_pickle_is_no_model_file(synthesizer, tmp_path):
    synthesizer.save(str(tmp_path / "model.pkl"))
    with pytest.raises(ModelFileError, match="is not a model file"):
        sdv_wgangp.load_model(tmp_path / "model.pkl")


class Bomb:
    """Unpickling one is noticed."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_new_process_samples_the_same_and_reads_no_pickle(synthesizer, file, tmp_path):
    """Nor does it begin a process: told by the interpreter's own audit of what runs."""
    code = """
import sys
from sdv_wgangp import load_model
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.saved_classes import kinds
kinds()
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
loaded = load_model(sys.argv[1])
suspect = ("pickle", "marshal.load", "os.system", "os.exec", "os.spawn", "subprocess", "socket",
           "ctypes.dlopen", "compile")
print(sorted({event for event in seen if event.startswith(suspect)}))
assert "open" in seen
sdv_versions.as_frame(loaded.sample(60)).to_pickle(sys.argv[2])
"""
    command = [sys.executable, "-c", code, str(file), str(tmp_path / "rows.pkl")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "rows.pkl"), rows_of(synthesizer))
    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError):
        sdv_wgangp.load_model(file)


# ----------------------------------------------------------------------------------- versions


def versions_changed(path, **versions):
    names = {name.replace("_", "-"): version for name, version in versions.items()}
    resigned(path, lambda file: file.about.update(names))


def test_a_later_plugin_is_asked_for(file):
    versions_changed(file, sdv_wgangp="99.1.0")
    with pytest.raises(VersionError, match=r"saved with sdv-wgangp 99\.1\.0, and .* is installed"):
        sdv_wgangp.load_model(file)


def test_another_patch_of_the_plugin_is_fine(file):
    major, minor, _ = sdv_wgangp.__version__.split(".")
    versions_changed(file, sdv_wgangp=f"{major}.{minor}.99")
    assert len(rows_of(sdv_wgangp.load_model(file), 5)) == 5


@pytest.mark.parametrize("version", ["0.9.0", "99.0.0"])
@pytest.mark.parametrize("package", ["sdv", "rdt"])
def test_another_line_of_sdv_is_told(package, version, file):
    versions_changed(file, **{package: version})
    with pytest.raises(VersionError, match=f"saved under {package} {version}.*or fit and save"):
        sdv_wgangp.load_model(file)


def test_a_version_that_is_none_is_told(file):
    versions_changed(file, sdv="old")
    with pytest.raises(ModelFileError, match="'old' is not the version of a release"):
        sdv_wgangp.load_model(file)


def test_pickles_know_the_plugin(synthesizer, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "__version__", "99.0.0")
    synthesizer.save(str(tmp_path / "model.pkl"))
    monkeypatch.undo()
    with pytest.raises(VersionError, match=r"saved with sdv-wgangp 99\.0\.0.*pip install"):
        sdv_versions.load(tmp_path / "model.pkl")
    synthesizer.save(str(tmp_path / "model.pkl"))
    loaded = sdv_versions.load(tmp_path / "model.pkl")
    assert vars(loaded).keys() == vars(synthesizer).keys()


# ----------------------------------------------------------------------------------- sizes


def wide_table(rows):
    """Adult's columns: 9 of categories, 102 levels; 6 of numbers, some smooth."""
    random = np.random.default_rng(0)
    levels = (9, 16, 7, 15, 6, 5, 2, 40, 2)
    table = {
        f"c{i}": random.integers(0, width, rows).astype(str) for i, width in enumerate(levels)
    }
    table |= {"age": random.integers(17, 91, rows), "weight": random.lognormal(12, 0.5, rows)}
    table |= {"gain": np.where(random.random(rows) < 0.9, 0, random.integers(1, 99_999, rows))}
    table |= {f"n{i}": random.normal(size=rows) for i in range(3)}
    return pd.DataFrame(table)


def bytes_of_trees(synthesizer):
    ratios = synthesizer.model.calibration.ratio.stages
    return sum(
        tensor.nbytes
        for ratio in ratios
        for tensor in (ratio.features, ratio.thresholds, ratio.leaves)
    )


def test_sizes_do_not_grow_with_the_rows(tmp_path):
    """At the default widths, an Adult-like table takes less than 3 MB, whatever its rows.

    How many trees the calibration learns is where its early stopping ends: no size of a table
    says it. All else has a size that the rows have no part in.
    """
    without_trees = {}
    for rows in (1_000, 10_000):
        frame = wide_table(rows)
        meta = Metadata.load_from_dict(
            {
                "tables": {
                    "wide": {
                        "columns": {
                            name: {"sdtype": "categorical" if name[0] == "c" else "numerical"}
                            for name in frame
                        }
                    }
                }
            }
        )
        few = {"max_pool_rows": 2**14}
        synthesizer = WGANGPMFSSynthesizer(meta, epochs=0, calibration_options=few, random_state=0)
        synthesizer.fit(sdv_versions.as_fit_input(meta, frame))
        synthesizer.save(str(tmp_path / "model.pkl"))
        synthesizer.save_model(tmp_path / "model.safetensors")
        sizes = [(tmp_path / name).stat().st_size for name in ("model.pkl", "model.safetensors")]
        trees = bytes_of_trees(synthesizer)
        assert trees > 0
        assert max(sizes) < 3e6, (rows, sizes, trees)
        without_trees[rows] = [size - trees for size in sizes]
    for small, large in zip(*without_trees.values(), strict=True):
        assert large < 1.01 * small, without_trees


def reachable(value):
    """Every object inside another one, as pickle would walk it."""
    found, waiting = {}, [value]
    while waiting:
        each = waiting.pop()
        if id(each) in found:
            continue
        found[id(each)] = each
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            waiting += list(each)
        elif hasattr(each, "__dict__") and not isinstance(each, type):
            waiting += list(vars(each).values())
    return list(found.values())


def test_no_rows_and_no_training_are_kept(tmp_path):
    """No array, tensor or frame is as long as the table, and nothing of the training is left."""
    rows = 3_001
    frame = visits(rows)
    synthesizer = fitted(frame=frame, calibrate=True, meta_features=["mean"])
    synthesizer.save(str(tmp_path / "model.pkl"))
    for each in (synthesizer, sdv_versions.load(tmp_path / "model.pkl")):
        for held in reachable(each):
            module = type(held).__module__
            assert not isinstance(held, torch.optim.Optimizer)
            assert type(held).__name__ not in ("MLPCritic", "Views", "EncodedTable")
            if module.startswith(("sdv_wgangp.training", "sdv_wgangp.players")):
                assert type(held) in (EpochLog, TrainingSettings)
            assert type(held) is not TableTraining
            if module.split(".")[0] in ("numpy", "pandas", "torch") and hasattr(held, "shape"):
                assert not held.shape or held.shape[0] < rows / 2, type(held)
    text = (tmp_path / "model.pkl").read_bytes()
    for private in ("u123@example.org", "V-0123", "t00123"):
        assert private in set(frame[["email", "code", "ticket"]].to_numpy().ravel())
        assert private.encode() not in text
