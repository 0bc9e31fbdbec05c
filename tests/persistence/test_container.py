"""The file: what is in it, and how it tells that it was changed."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from sdv_wgangp.persistence.container import DTYPES, ModelFile, ModelFileError

VERSIONS = {"sdv-wgangp": "0.1.0", "sdv": "2.0.0"}


def written(path, state=None, **tensors):
    ModelFile({"a": [1, "ü"]} if state is None else state, tensors, VERSIONS).write(path)
    return path


def test_what_is_written_is_read(tmp_path):
    weights = torch.arange(6, dtype=torch.float32).reshape(2, 3).T
    path = written(tmp_path / "m.safetensors", weights=weights, empty=torch.zeros(0, 2))
    file = ModelFile.read(path)
    assert file.state == {"a": [1, "ü"]}
    assert file.about == VERSIONS
    assert set(file.tensors) == {"weights", "empty"}
    assert torch.equal(file.tensors["weights"], weights)
    assert [each.name for each in tmp_path.iterdir()] == ["m.safetensors"]


def test_it_is_a_safetensors_file_like_others(tmp_path):
    path = written(tmp_path / "m.safetensors", weights=torch.ones(2))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == "sdv_wgangp"
        assert torch.equal(file.get_tensor("weights"), torch.ones(2))
        state = bytes(file.get_tensor("state.json").numpy())
    assert json.loads(state) == {"a": [1, "ü"]}


def test_every_byte_counts(tmp_path):
    path = written(tmp_path / "m.safetensors", weights=torch.ones(2))
    data = path.read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ModelFileError):
            ModelFile.read(path)


def test_every_truncation_and_extension_is_refused(tmp_path):
    path = written(tmp_path / "m.safetensors", weights=torch.ones(2))
    data = path.read_bytes()
    for part in (*(data[:length] for length in range(len(data))), data + b"\0"):
        path.write_bytes(part)
        with pytest.raises(ModelFileError):
            ModelFile.read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04text",
        pickle.dumps({"a": 1}),
        b"id,name\n1,a\n" * 50,
        save({"weights": torch.ones(2)}),
        save({"weights": torch.ones(2)}, {"format": "pt"}),
        b"\x02\0\0\0\0\0\0\0[]",
        (10**6).to_bytes(8, "little") + b"[" * 10**6,
        b"\xff" * 64,
    ],
    ids=["empty", "bytes", "pickle", "csv", "plain", "other", "list", "deep", "ones"],
)
def test_foreign_files_are_told(data, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="is not a model file of sdv_wgangp") as caught:
        ModelFile.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("later", "remedy"), [(1, "upgrade"), (-1, "fit the model again")])
def test_another_format_is_told(tmp_path, monkeypatch, later, remedy):
    reads = ModelFile.FORMAT_VERSION
    version = reads + later
    monkeypatch.setattr(ModelFile, "FORMAT_VERSION", version)
    path = written(tmp_path / "m.safetensors")
    monkeypatch.undo()
    with pytest.raises(
        ModelFileError, match=rf"format version {version}, .* reads {reads}: {remedy}"
    ):
        ModelFile.read(path)


def test_a_changed_weight_is_told(tmp_path):
    path = written(tmp_path / "m.safetensors", weights=torch.ones(2))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelFileError, match="SHA-256 checksum does not match"):
        ModelFile.read(path)


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        ModelFile({"a": object()}, {}, VERSIONS).write(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="JSON"):
        ModelFile({"a": float("nan")}, {}, VERSIONS).write(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_names_and_texts_with_zeros_do_not_confuse_the_checksum(tmp_path):
    zeros = "0" * 64
    path = written(
        tmp_path / "m.safetensors", state={f'"{zeros}"': zeros}, **{f'"{zeros}"': torch.ones(1)}
    )
    assert ModelFile.read(path).state == {f'"{zeros}"': zeros}


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        ModelFile.read(tmp_path / "m.safetensors")


def test_tensors_that_share_memory_are_stored_apart(tmp_path):
    weights = torch.arange(6.0)
    path = written(tmp_path / "m.safetensors", all=weights, some=weights[2:4], again=weights)
    tensors = ModelFile.read(path).tensors
    assert torch.equal(tensors["some"], weights[2:4])
    tensors["all"].zero_()
    assert torch.equal(tensors["again"], weights)


@pytest.mark.parametrize("dtype", list(DTYPES), ids=str)
def test_safetensors_reads_every_layout(tmp_path, dtype):
    whole = torch.arange(24).reshape(4, 6).to(dtype)
    tensors = {
        "whole": whole,
        "turned": whole.T,
        "rows": whole[1:3],
        "column": whole[:, 2],
        "repeated": whole[:1].expand(3, 6),
        "scalar": whole[2, 3],
        "single": torch.empty_strided((1,), (0,), dtype=dtype).fill_(1),
        "empty": whole[:0],
    }
    path = written(tmp_path / "m.safetensors", **tensors)
    found = load_file(path)
    assert found.keys() == {*tensors, "state.json"}
    for name, tensor in tensors.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor.contiguous())
