"""How operators are defined: once in Python, once over the device, mirrored on CPU and CUDA."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

from sdv_wgangp import ops
from sdv_wgangp.ops import registry

OPERATORS = torch.ops.sdv_wgangp
CSRC = Path(__file__).parents[2] / "csrc"
FAMILIES = (
    *("adam", "blocks", "critic", "generator", "multiply", "penalty", "registry", "softmax"),
    *("statistics", "trees", "views"),
)


@pytest.mark.parametrize("family", FAMILIES)
def test_examples_in_docstrings(family):
    assert doctest.testmod(importlib.import_module(f"sdv_wgangp.ops.{family}")).failed == 0


def test_functions_of_the_face_explain_themselves():
    for name in ops.__all__:
        member = getattr(ops, name)
        if callable(member) and name in registry.names():
            assert "Args:" in member.__doc__
            assert list(inspect.signature(member).parameters)


@pytest.mark.parametrize("name", registry.names())
def test_the_reference_refuses_what_the_operator_refuses(name):
    """Checks are attached to the reference; nobody has to call them."""
    schema = getattr(OPERATORS, name).default._schema
    scalar = torch.zeros((), dtype=torch.int64)
    wrong = {
        "Tensor": scalar,
        "List[Tensor]": [scalar],
        "Optional[Tensor]": scalar,
        "float": -1.0,
        "int": -1,
        "bool": False,
        "str": "wrong",
    }
    arguments = [wrong[str(argument.type)] for argument in schema.arguments]
    messages = set()
    for call in (getattr(OPERATORS, name).default, registry.reference(name)):
        with pytest.raises(RuntimeError, match=f"^{name}: ") as error:
            call(*arguments)
        messages.add(str(error.value).splitlines()[0])
    assert len(messages) == 1


def test_arguments_may_be_named_and_left_out():
    x = torch.randn(6, 3, requires_grad=True)
    mean, covariance = ops.moments(x)
    named = ops.moments(correction=1, x=x)
    assert torch.equal(mean, named[0])
    assert torch.equal(covariance, named[1])
    (gradient,) = torch.autograd.grad(covariance.sum(), x)
    (expected,) = torch.autograd.grad(named[1].sum(), x)
    assert torch.equal(gradient, expected)
    assert not torch.equal(covariance, ops.moments(x, 0)[1])


def test_schemas_follow_from_signatures():
    schema = str(OPERATORS.gradient_norm_penalty_backward.default._schema)
    arguments = "Tensor grad_penalty, Tensor? grad_norms, Tensor gradient, float weight, str kind"
    assert schema == f"sdv_wgangp::gradient_norm_penalty_backward({arguments}) -> Tensor"
    # A plain integer, which the kernels take, not a symbolic one.
    schema = str(OPERATORS.moments.default._schema)
    assert schema == "sdv_wgangp::moments(Tensor x, int correction=1) -> (Tensor, Tensor)"
    schema = str(OPERATORS.multiply.default._schema)
    assert schema == "sdv_wgangp::multiply(Tensor a, Tensor b, Tensor(a2!) out, bool add) -> ()"


def test_what_is_written_to_is_in_the_schema():
    schema = OPERATORS.norm_relu.default._schema
    written = [a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write]
    assert written == ["product", "out"]
    schema = OPERATORS.adam_step.default._schema
    written = [a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write]
    assert written == ["parameters", "squares", "averages"]


def registrations(file: Path) -> list[tuple[str, str]]:
    pattern = r'm\.impl\(\s*"(\w+)",\s*TORCH_BOX\(\s*&sdv_wgangp::(\w+)<sdv_wgangp::(\w+)>\)\)'
    found = re.findall(pattern, file.read_text(encoding="utf-8"))
    device = "Cuda" if file.suffix == ".cu" else "Cpu"
    assert {own for *_, own in found} <= {device}
    assert len(found) == file.read_text(encoding="utf-8").count("m.impl(")
    return [(name, function) for name, function, _ in found]


def test_devices_register_the_same_templates():
    """Checks, results and choice of types stand in NAME.h, so both devices have but loops."""
    if not CSRC.is_dir():
        pytest.skip("needs the sources")
    files = [file for file in (CSRC / "cpu").glob("*.cpp") if registrations(file)]
    found = [pair for file in files for pair in registrations(file)]
    assert {name for name, _ in found} == set(registry.names())
    for file in files:
        assert registrations(CSRC / "cuda" / f"{file.stem}.cu") == registrations(file)
