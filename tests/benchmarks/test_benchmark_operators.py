"""The operators' benchmark: its cases are right, its table and its file say what was measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import operators
import pytest
import torch
from operator_cases import critic, softmax
from operator_cases.case import Case, Options, Rival, compiled, relative_error

QUICK = Options(compile=False, quick=True)


@pytest.mark.parametrize("operator", operators.OPERATORS)
def test_every_case_computes_what_its_rivals_do(operator):
    cases = [case for make in operators.OPERATORS[operator] for case in make(QUICK)]
    assert cases
    for case in cases:
        case.ours()
        present = [rival for rival in case.rivals if rival.call is not None]
        assert present
        for rival in present:
            rival.call()
        tolerance = {"medium": 0.1, "highest": 2e-5}[case.precision]
        errors = [rival.error for rival in case.rivals if rival.error is not None]
        assert all(error < tolerance for error in errors), (case.name, errors)
        missing = [rival.missing for rival in case.rivals if rival.call is None]
        assert set(missing) <= {"left out by --no-compile"}


def test_most_operators_are_compared_with_an_error():
    """Only what draws at random has nothing to compare digits with."""
    for operator, makers in operators.OPERATORS.items():
        first = next(makers[0](QUICK))
        assert first.operator == operator
        assert first.rivals[0].error is not None


def test_the_ratios_to_reach_are_carried():
    found = {
        (case.operator, case.precision, rival.name): rival.bar
        for operator in ("critic_step", "moments", "sorted_columns", "tree_scores")
        for make in operators.OPERATORS[operator]
        for case in make(QUICK)
        for rival in case.rivals
        if rival.bar is not None
    }
    assert found == {
        ("critic_step", "medium", "eager"): 3.0,
        ("critic_step", "highest", "eager"): 1.6,
        ("moments", "highest", "its product x' x alone"): 1.0,
        ("sorted_columns", "highest", "torch.sort"): 5.0,
        ("tree_scores", "highest", "scikit-learn, on the CPU"): 5.0,
    }


def test_functional_step_has_the_gradients_of_the_eager_one():
    at = critic.setting(30, critic.QUICK, "cpu")
    network = critic.plain_network(at.critic)
    critic.eager_step(network, at)()
    weights = [parameter.detach() for parameter in network.parameters()]
    found = critic.functional_step(weights, *at.hot, at.epsilon)
    # The last bias moves real and fake scores alike: its gradient is 0.
    for gradient, parameter in list(zip(found, network.parameters(), strict=True))[:-1]:
        assert relative_error(gradient, parameter.grad) < 1e-4


def test_blocks_are_ragged_and_fill_the_width():
    offsets = softmax.blocks(14, 200)
    assert offsets[0] == 0
    assert offsets[-1] == 200
    assert len(offsets) == 15
    widths = offsets.diff()
    assert widths.min() >= 2
    assert len(widths.unique()) > 5


def test_what_cannot_be_compiled_says_why(monkeypatch):
    def fails(function, **_):
        def call():
            raise RuntimeError("\nno working C++ compiler\nmore")

        return call

    monkeypatch.setattr(torch, "compile", fails)
    rival = compiled("torch.compile", torch.sin, Options())
    assert rival.call is None
    assert rival.missing == "RuntimeError: no working C++ compiler"
    case = Case("sin", "1", lambda: None, (rival,))
    (result,) = operators.measure(case, "cpu", None, 2)
    assert result.ratio is None
    cells = operators.line(result)
    assert "not run: RuntimeError: no working C++ compiler" in cells
    assert len(cells) == len(operators.HEADINGS)


def test_what_compiles_is_called(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    calls = []
    rival = compiled("torch.compile", calls.append, Options(), lambda f: lambda: f(1), bar=2.0)
    assert rival.bar == 2.0
    rival.call()
    assert calls == [1, 1]


def test_ours_runs_in_its_precision_and_rivals_in_theirs():
    seen = []

    def note():
        seen.append(torch.get_float32_matmul_precision())

    case = Case("x", "1", note, (Rival("a", note), Rival("b", note, precision="medium")), "medium")
    results = operators.measure(case, "cpu", None, 3)
    assert seen.count("highest") * 2 == seen.count("medium")
    assert [result.rounds for result in results] == [3, 3]
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_table_and_the_files(capsys, tmp_path):
    operators.main(
        [
            *("critic_step", "--quick", "--rounds", "3"),
            *("--no-compile", "--output", str(tmp_path / "out")),
        ]
    )
    document = json.loads((tmp_path / "out/operators.json").read_text(encoding="utf-8"))
    assert document["machine"]["threads"] == 1
    timed = [result for result in document["results"] if result["ratio"] is not None]
    assert {result["against"] for result in timed} == {
        "eager",
        "eager, bfloat16 products",
        "CTGAN's Discriminator",
    }
    for result in timed:
        assert result["rounds"] == 3
        assert 0 < result["ratio"][0] <= result["ratio"][1] <= result["ratio"][2]
        assert result["theirs_ms"] > 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(printed) == 2 + len(document["results"])
    assert "| critic_step | D = 30 | medium | eager |" in printed[2]
    svg = ElementTree.parse(tmp_path / "out/operators.svg").getroot()
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}circle"))) == len(timed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_operator"], "no benchmark of no_such_operator"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit):
        operators.main(arguments)
    assert message in capsys.readouterr().err
