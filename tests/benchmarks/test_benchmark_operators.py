"""The operators' benchmark: its cases are right, its table and its file say what was measured."""

from __future__ import annotations

import json

import operators
import pytest


def test_every_case_computes_the_same(monkeypatch):
    monkeypatch.setattr(operators, "CRITIC_BARS", {30: (3.0, 1.6)})
    monkeypatch.setattr(operators, "CRITIC_ROWS", 40)
    monkeypatch.setattr(operators, "CRITIC_HIDDEN", (16, 8))
    errors = {case.precision: case.error for case in operators.critic_step_cases()}
    assert errors["highest"] < 1e-5
    assert errors["medium"] < 0.1


def test_the_table_and_the_file(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(operators, "CRITIC_BARS", {30: (3.0, 1.6)})
    monkeypatch.setattr(operators, "CRITIC_ROWS", 40)
    monkeypatch.setattr(operators, "CRITIC_HIDDEN", (16, 8))
    file = tmp_path / "operators.json"
    operators.main(["critic_step", "--repeats", "3", "--json", str(file)])
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["machine"]["threads"] == 1
    assert [result["precision"] for result in document["results"]] == ["medium", "highest"]
    for result in document["results"]:
        assert result["repeats"] == 3
        assert 0 < result["ratio"][0] <= result["ratio"][1] <= result["ratio"][2]
        assert result["baseline_ms"] > 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + len(document["results"])
    assert "| critic_step | D = 30 | medium |" in printed[2]


def test_an_unknown_operator_is_an_error(capsys):
    with pytest.raises(SystemExit):
        operators.main(["no_such_operator"])
    assert "no benchmark of no_such_operator" in capsys.readouterr().err
