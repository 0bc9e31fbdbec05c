"""Checkpoint files: every state comes back as it was, and no other file is taken for one."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections import OrderedDict, namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdv_wgangp.persistence import ModelFile
from sdv_wgangp.persistence.state import (
    CheckpointError,
    CheckpointMismatchError,
    StateFile,
    check_state,
    read_state,
    write_state,
)

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint16, torch.uint32, torch.uint64, torch.complex64, torch.complex128),
    torch.float8_e4m3fn,
]


def same(one, other) -> bool:
    """Whether two states are equal in kind and in every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        bits = [each.contiguous().flatten().view(torch.uint8) for each in (one, other)]
        return torch.equal(*bits)
    if isinstance(one, (np.ndarray, np.generic)):
        return one.dtype == other.dtype and one.shape == other.shape and (
            one.tobytes() == other.tobytes()
        )  # fmt: skip
    if isinstance(one, float):
        return one.hex() == other.hex()
    return one == other


def there_and_back(state, folder: Path):
    write_state(folder / "s.checkpoint", state, {})
    return read_state(folder / "s.checkpoint")[0]


def tensor_of(dtype: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Random bits, seen as numbers."""
    if dtype == torch.bool:
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    size = math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
    random = torch.Generator().manual_seed(seed)
    bits = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=random)
    return bits.view(dtype).reshape(shape)


tensors = st.builds(
    tensor_of,
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.integers(0, 2**31),
)
# Of the many kinds of NaN Python's own makes one only.
floats = st.floats(allow_nan=False) | st.just(math.nan)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text() | tensors,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values)
def test_any_state_comes_back(tmp_path, state):
    assert same(there_and_back(state, tmp_path), state)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (2, 3)], ids=str)
def test_tensors_of_every_dtype_and_shape(dtype, shape, tmp_path):
    tensor = tensor_of(dtype, shape, 3)
    assert same(there_and_back({"a": tensor}, tmp_path), {"a": tensor})


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0, 5e-324, 0.1, 1e308, 2**70, -1, True])
def test_numbers_keep_their_kind_and_every_bit(value, tmp_path):
    found = there_and_back([value, (value,)], tmp_path)
    assert same(found, [value, (value,)])
    assert math.isnan(there_and_back(math.nan, tmp_path))


def test_tags_are_not_taken_for_data_nor_keys_for_each_other(tmp_path):
    state = {
        "tensor": "state",
        "dict": {"tuple": [1]},
        "a": {"b": torch.ones(1)},
        "a']['b": torch.zeros(1),
        "state.json": torch.full((1,), 2.0),
        "": {},
        "\ud800": [(), {}],
    }
    assert same(there_and_back(state, tmp_path), state)


def test_views_parameters_and_what_shares_memory(tmp_path):
    weight = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4))
    conjugate = torch.tensor([1 + 2j]).conj()
    state = OrderedDict(weight=weight, turned=weight.T, part=weight[1:], c=conjugate)
    found = there_and_back(state, tmp_path)
    expected = {name: each.detach().clone().contiguous() for name, each in state.items()}
    assert same(found, expected | {"c": torch.tensor([1 - 2j])})
    found["weight"].zero_()
    assert torch.equal(found["part"], expected["part"])


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3).T,
        np.array(3.5),
        np.zeros((0, 2), np.float16),
        np.array([2**64 - 1], np.uint64),
        np.array([True]),
        np.array([1j]),
        np.float64(0.1),
        np.float32("nan"),
        np.int64(-3),
        np.bool_(True),
    ],
    ids=repr,
)
def test_arrays_and_their_scalars(value, tmp_path):
    found = there_and_back({"a": value}, tmp_path)["a"]
    assert same(found, value)


def test_arrays_come_back_in_the_byte_order_of_the_machine(tmp_path):
    found = there_and_back(np.arange(3, dtype=">i4"), tmp_path)
    assert same(found, np.arange(3, dtype="i4"))


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"a": [1, {"b": object()}]}, r"state\['a'\]\[1\]\['b'\] is of builtins.object"),
        ({"f": print}, r"state\['f'\] is of builtins"),
        ({1: 2}, "state has the key 1"),
        ({"a": {1, 2}}, "of builtins.set"),
        (b"bytes", "of builtins.bytes"),
        (namedtuple("N", "a")(1), r"\.N, which"),
        (torch.zeros(2).to_sparse(), r"torch\.Tensor, which"),
        (torch.zeros(2, device="meta"), r"torch\.Tensor, which"),
        (np.array(["a"]), "of numpy.ndarray"),
        (np.array([None]), "of numpy.ndarray"),
        (np.longdouble(1), "longdouble"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_what_cannot_be_stored_is_named(value, named, tmp_path):
    with pytest.raises(CheckpointError, match=named):
        check_state(value)
    with pytest.raises(CheckpointError, match=named):
        write_state(tmp_path / "s.checkpoint", value, {})
    assert not list(tmp_path.iterdir())
    check_state({"a": torch.ones(1)})


def test_what_is_said_about_it_holds_plain_data_only(tmp_path):
    about = {"step": 3, "settings": {"betas": (0.0, 0.9), "most": math.inf}, "none": None}
    write_state(tmp_path / "s.checkpoint", [], about)
    assert same(read_state(tmp_path / "s.checkpoint")[1], about)
    with pytest.raises(CheckpointError, match=r"about\['t'\]"):
        write_state(tmp_path / "t.checkpoint", [], {"t": torch.ones(1)})


# ------------------------------------------------------------------------------ other files


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "s.checkpoint"
    random = torch.Generator().manual_seed(0)
    state = {"weight": torch.randn(40, 20, generator=random), "step": 3, "logs": [(1, 0.5)]}
    write_state(path, state, {"step": 3})
    return path


def test_every_truncation_is_refused_by_name(path):
    data = path.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"s\.checkpoint: .*(cut short|beginning of)"):
            read_state(path)


def test_every_changed_byte_is_refused_by_name(path):
    data = path.read_bytes()
    for place in [*range(min(len(data), 400)), *range(400, len(data), 97)]:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"s\.checkpoint: ") as caught:
            read_state(path)
        # One that was damaged is not taken for one of another version.
        assert not isinstance(caught.value, CheckpointMismatchError)


def test_foreign_files_are_told(path, tmp_path):
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of sdv_wgangp"):
        read_state(path)
    ModelFile({}, {}, {}).write(path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of sdv_wgangp"):
        read_state(path)
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "nothing")


@pytest.mark.parametrize(("later", "remedy"), [(1, "upgrade"), (-1, "begin the training anew")])
def test_another_format_version_is_told(path, monkeypatch, later, remedy):
    monkeypatch.setattr(StateFile, "FORMAT_VERSION", StateFile.FORMAT_VERSION + later)
    write_state(path, [], {})
    monkeypatch.undo()
    with pytest.raises(CheckpointMismatchError, match=rf"format version .*{remedy}"):
        read_state(path)


@pytest.mark.parametrize(
    "content",
    [
        {"unheard": 1},
        {"tuple": [], "dict": {}},
        {},
        {"tensor": "absent"},
        {"tensor": ["t", "save", [1]]},
        {"tensor": ["t", "float64", [7]]},
        {"float": "a"},
        {"dict": []},
        {"object": ["os.system", 0, {}]},
    ],
    ids=json.dumps,
)
def test_content_that_nothing_wrote_is_an_error(content, path):
    StateFile(content, {"t": torch.zeros(8, dtype=torch.uint8)}, {}).write(path)
    with pytest.raises(CheckpointError, match="does not hold a state"):
        read_state(path)


def test_memory_is_twice_that_of_the_state(tmp_path):
    # Of Python's and safetensors' own; PyTorch's is not traced, and nothing in it is copied.
    state = {"weight": torch.ones(2_000_000)}
    size = state["weight"].nbytes
    tracemalloc.start()
    try:
        write_state(tmp_path / "s.checkpoint", state, {})
        assert tracemalloc.get_traced_memory()[1] < 1.1 * size
    finally:
        tracemalloc.stop()
