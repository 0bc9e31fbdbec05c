"""The command line, from the files to the exit code."""

from __future__ import annotations

import doctest
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from sdv_wgangp import __version__, cli, files, user_errors
from sdv_wgangp.cli import course, demo, fit, models, options, output, report, status
from sdv_wgangp.cli.metadata import guess, read_metadata, sdtypes, text_columns
from sdv_wgangp.parameters import PARAMETERS
from sdv_wgangp.synthesizers import saving, sdv_versions
from sdv_wgangp.synthesizers.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.user_errors import UserError
from sdv_wgangp.values import Flag


def make_people(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(45, 12, rows).round(1)
    table = pd.DataFrame(
        {
            "id": np.arange(rows),
            "age": age,
            "since": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 999, rows), "D"),
            "group": np.where(age > 45, "senior", "junior"),
            "member": rng.random(rows) < 0.4,
        }
    )
    table.loc[rng.random(rows) < 0.1, "age"] = np.nan
    return table


QUICK = [
    *("--epochs", "1", "--min-steps-per-epoch", "10", "--batch-size", "100", "--no-calibrate"),
    *("--generator-dim", "32", "--discriminator-dim", "32"),
]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with people.csv, a model fitted to 80 % of it, and 200 synthetic rows."""
    folder = tmp_path_factory.mktemp("fitted")
    make_people().to_csv(folder / "people.csv", index=False)
    model = str(folder / "people.pkl")
    split = ["--holdout", "0.2", "--seed", "1"]
    assert cli.main(["fit", str(folder / "people.csv"), "--model", model, *split, *QUICK]) == 0
    output = str(folder / "synthetic.csv")
    assert cli.main(["sample", model, "--rows", "200", "--output", output]) == 0
    return folder


def fails(capsys, *arguments: object) -> str:
    """The one line on standard error of a command that must end with exit code 2."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2, error
    assert error.count("\n") == 1, error
    assert "error: " in error
    return error


# --------------------------------------------------------------------------- the whole way


def test_fit_writes_model_metadata_and_both_parts(fitted):
    described = json.loads((fitted / "people.metadata.json").read_text())
    (table,) = described["tables"].values()
    assert list(table["columns"]) == ["id", "age", "since", "group", "member"]
    train, holdout = (pd.read_csv(fitted / f"people.{part}.csv") for part in ("train", "holdout"))
    assert (len(train), len(holdout)) == (240, 60)
    assert sorted([*train["id"], *holdout["id"]]) == list(range(300))


def test_sampled_rows_look_like_the_table(fitted):
    real, synthetic = (pd.read_csv(fitted / f"{name}.csv") for name in ("people", "synthetic"))
    assert list(synthetic) == list(real)
    assert synthetic.dtypes.equals(real.dtypes)
    assert len(synthetic) == 200
    assert synthetic["id"].is_unique
    assert set(synthetic["group"]) <= {"senior", "junior"}


def test_sampling_is_streamed_and_the_same_in_every_format_and_process(
    fitted, monkeypatch, tmp_path
):
    sizes = []
    original = models.sample_chunks

    def small_chunks(synthesizer, rows, length=None):
        for frame in original(synthesizer, rows, chunk=64):
            sizes.append(len(frame))
            yield frame

    monkeypatch.setattr(models, "sample_chunks", small_chunks)
    model = str(fitted / "people.pkl")
    tables = []
    for name in ("a.csv", "b.parquet", "c.csv.gz"):
        output = tmp_path / name
        assert (
            cli.main(["sample", model, "--rows", "150", "--output", str(output), "--quiet"]) == 0
        )
        tables.append(files.read_table(output))
    assert sizes == [64, 64, 22] * 3
    assert tables[0]["id"].is_unique
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other, check_dtype=False)
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "b.parquet", "c.csv.gz"]


def test_the_seed_decides_the_rows(fitted, tmp_path):
    def rows(*seed):
        output = str(tmp_path / "rows.csv")
        arguments = ["sample", str(fitted / "people.pkl"), "--rows", "50", "--output", output]
        assert cli.main([*arguments, *seed]) == 0
        return pd.read_csv(output)

    assert rows().equals(rows())
    assert rows("--seed", "5").equals(rows("--seed", "5"))
    assert not rows("--seed", "5").equals(rows("--seed", "6"))


def test_the_suffix_decides_the_format_of_the_model(fitted, capsys, tmp_path):
    """A model file and a pickle of the same fit give the same rows and losses."""
    data = str(fitted / "people.csv")
    rows = []
    for suffix in ("pkl", "safetensors"):
        model, output = str(tmp_path / f"m.{suffix}"), str(tmp_path / f"{suffix}.csv")
        assert cli.main(["fit", data, "--model", model, "--seed", "1", *QUICK]) == 0
        assert cli.main(["sample", model, "--rows", "50", "--output", output]) == 0
        page = ["--model", model, "--html", str(tmp_path / f"{suffix}.html")]
        assert cli.main(["report", data, output, *page]) == 0
        assert "critic loss" in (tmp_path / f"{suffix}.html").read_text(encoding="utf-8")
        (tmp_path / "m.metadata.json").unlink()
        rows.append(pd.read_csv(output))
    pd.testing.assert_frame_equal(*rows)
    assert load_file(tmp_path / "m.safetensors")
    capsys.readouterr()
    model = tmp_path / "m.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    error = fails(capsys, "sample", model, "--rows", 5, "--output", tmp_path / "o.csv")
    assert "m.safetensors: was changed or cut short" in error
    (tmp_path / "m.pkl").rename(model)
    error = fails(capsys, "sample", model, "--rows", 5, "--output", tmp_path / "o.csv")
    assert "m.safetensors: is not a model file but a pickle" in error


def test_a_seeded_fit_repeats(fitted, tmp_path):
    tables = []
    for name in ("one", "two"):
        model, output = str(tmp_path / f"{name}.pkl"), str(tmp_path / f"{name}.csv")
        data = str(fitted / "people.csv")
        assert cli.main(["fit", data, "--model", model, "--seed", "3", "--quiet", *QUICK]) == 0
        assert cli.main(["sample", model, "--rows", "40", "--output", output, "--quiet"]) == 0
        tables.append(pd.read_csv(output))
    pd.testing.assert_frame_equal(*tables)


def test_report_prints_scores_and_writes_the_page(fitted, capsys, tmp_path):
    page, figures = tmp_path / "report.html", tmp_path / "report.json"
    code = cli.main(
        [
            *("report", str(fitted / "people.train.csv"), str(fitted / "synthetic.csv")),
            *("--holdout", str(fitted / "people.holdout.csv"), "--target", "group"),
            *("--metadata", str(fitted / "people.metadata.json"), "--html", str(page)),
            *("--model", str(fitted / "people.pkl"), "--json", str(figures)),
        ]
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "critic loss" in page.read_text(encoding="utf-8"), "the loss curves are missing"
    assert "synthetic.csv compared with people.train.csv" in printed
    assert "240 real, 60 held-out and 200 synthetic rows, 4 columns scored" in printed
    for measure in ("overall, default", "nearest-record share", "AUC", "exact copies"):
        assert re.search(rf"{measure} +[0-9.]+", printed)
    assert f"report  {page}" in printed
    assert f"json    {figures}" in printed
    provenance = json.loads(figures.read_text(encoding="utf-8"))["provenance"]
    assert [stamp["role"] for stamp in provenance["files"]] == list(report.INPUTS)
    assert provenance["parameters"]["epochs"] == "1"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_report_without_metadata_compares_every_column(fitted, capsys):
    data = str(fitted / "people.csv")
    assert cli.main(["report", data, str(fitted / "synthetic.csv")]) == 0
    assert "scored" in capsys.readouterr().out


def test_parquet_metadata_and_quiet(fitted, tmp_path, capsys):
    data = tmp_path / "people.parquet"
    make_people().to_parquet(data)
    model = tmp_path / "m.pkl"
    given = ["--metadata", str(fitted / "people.metadata.json")]
    assert cli.main(["fit", str(data), "--model", str(model), "--quiet", *given, *QUICK]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    copied = read_metadata(tmp_path / "m.metadata.json")
    assert copied.to_dict() == read_metadata(fitted / "people.metadata.json").to_dict()


def test_demo_writes_everything_it_names(tmp_path, capsys):
    folder = tmp_path / "out"
    assert cli.main(["demo", "--output-folder", str(folder), "--seed", "0", *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "1,363 real, 341 held-out and 1,363 synthetic rows, 5 columns scored" in printed
    assert "target 'lifeExp'" in printed
    written = {path.name for path in folder.iterdir()}
    endings = ("safetensors", "metadata.json", "train.csv", "holdout.csv", "synthetic.csv", "html")
    assert written == {f"gapminder.{ending}" for ending in endings}
    assert all(str(folder / name) in printed for name in written)
    assert "Training" in (folder / "gapminder.html").read_text(encoding="utf-8")


def test_demo_takes_the_tables_of_sdv(tmp_path, capsys, monkeypatch):
    people = make_people()
    metadata = sdv_versions.detect_metadata(people, "people")
    asked = []

    def download(name):
        asked.append(name)
        return people, metadata

    monkeypatch.setattr(sdv_versions, "download_demo", download)
    folder = str(tmp_path / "out")
    arguments = ["demo", "--dataset", "people", "--target", "group", "--output-folder", folder]
    assert cli.main([*arguments, *QUICK]) == 0
    assert asked == ["people"]
    assert "target 'group'" in capsys.readouterr().out


def test_status_and_version(capsys):
    assert cli.main(["status"]) == 0
    assert "operators" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"sdv-wgangp {__version__} (sdv ")


COMMANDS = ("fit", "sample", "report", "demo", "status")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_and_explains_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  sdv-wgangp " + command in text
    # argparse leaves the place beside an option empty that has no help, and goes on below.
    options = text.split("\noptions:", 1)[1].splitlines()
    for line, below in itertools.pairwise([*options, ""]):
        if line.startswith("  -"):
            said = "  " in line.strip() or below.startswith(" " * 10)
            assert said, f"{line.strip()} has no help"


def test_the_examples_of_the_help_are_valid(capsys):
    parser = cli.build_parser()
    texts = [parser.format_help()]
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            parser.parse_args([command, "--help"])
        texts.append(capsys.readouterr().out)
    examples = [
        line.split()[1:]
        for text in texts
        for line in text.split("examples:", 1)[1].splitlines()
        if line.startswith("  sdv-wgangp ")
    ]
    assert len(examples) > 12
    for example in examples:
        assert callable(parser.parse_args(example).run)


def test_the_ends_of_a_fit_are_passed_on(fitted, tmp_path, capsys):
    data, model = str(fitted / "people.csv"), str(tmp_path / "m.pkl")
    given = ["--max-seconds", "600", "--early-stopping", "--quiet", *QUICK]
    # 300 rows: a tenth of them is too little to hold out.
    error = fails(capsys, "fit", data, "--model", model, *given)
    assert "early_stopping needs at least 50 held-out rows" in error
    make_people(600).to_csv(tmp_path / "more.csv", index=False)
    model = str(tmp_path / "more.pkl")
    assert cli.main(["fit", str(tmp_path / "more.csv"), "--model", model, *given]) == 0
    synthesizer = sdv_versions.load(model)
    parameters = synthesizer.get_parameters()
    assert (parameters["max_seconds"], parameters["early_stopping"]) == (600, True)
    assert len(synthesizer.get_validation_scores()) == 1


# --------------------------------------------------------------------------- parameters

# A value on the command line for each parameter that takes one, not its default.
TEXTS = {
    "encoding_options": "bins=9",
    "calibration_options": "trees=5,depth=3",
    "locales": "de_DE,en_US",
    "embedding_dim": "8",
    "generator_dim": "16,8",
    "discriminator_dim": "16",
    "generator_lr": "2e-3",
    "generator_decay": "0",
    "discriminator_lr": "0.002",
    "discriminator_decay": "1e-3",
    "batch_size": "60",
    "discriminator_steps": "1",
    "epochs": "3",
    "pac": "2",
    "gradient_penalty_weight": "5",
    "meta_features": "mean,cor",
    "meta_feature_weight": "mean=1,cor=0.5",
    "meta_feature_distance": "sliced",
    "meta_feature_subsets": "4",
    "meta_feature_fraction": "0.25",
    "meta_feature_schedule": "decay",
    "target": "group",
    "ema_decay": "0.9",
    "conditional_share": "0.2",
    "random_state": "5",
    "max_seconds": "600",
    "validation_fraction": "0.2",
    "patience": "2",
    "objective": "hinge",
    "gradient_penalty": "r1",
    "max_grad_norm": "3",
    "gradient_penalty_interval": "2",
    "optimizer": "rmsprop",
    "betas": "0.5,0.9",
    "discriminator_dropout": "0.1",
    "conditional_weight": "0.5",
    "min_steps_per_epoch": "7",
    "precision": "highest",
    "tracking_decay": "0.9",
    "sinkhorn_epsilon": "0.1",
    "sinkhorn_iterations": "20",
    "sliced_projections": "8",
    "marginal_control": "0.1",
    "relations": "off",
}


class Fitted(Exception):
    """Takes the place of a fit."""


@pytest.fixture
def parameters_of(fitted, monkeypatch, tmp_path):
    """The parameters of the synthesizer that a command line fits."""
    from sdv_wgangp.single_table import WGANGPMFSSynthesizer

    def caught(self, data):
        raise Fitted(self.get_parameters())

    monkeypatch.setattr(WGANGPMFSSynthesizer, "fit", caught)

    def run(*arguments: str, command: str = "fit") -> dict[str, object]:
        start = {
            "fit": ["fit", str(fitted / "people.csv"), "--model", str(tmp_path / "m.pkl")],
            "demo": ["demo", "--output-folder", str(tmp_path / "out")],
        }[command]
        with pytest.raises(Fitted) as stop:
            cli.main([*start, "--debug", *arguments])
        return stop.value.args[0]

    return run


def option_of(name: str) -> list[str]:
    """What says another value than the default of a parameter."""
    parameter = PARAMETERS[name]
    return [parameter.option] + ([] if isinstance(parameter.kind, Flag) else [TEXTS[name]])


@pytest.mark.parametrize("command", ["fit", "demo"])
def test_every_parameter_arrives(parameters_of, command):
    """But for one that the others rule out, and a column that the table of the demo has not."""
    names = [name for name in PARAMETERS if name != "weight_clip"]
    given = [part for name in names for part in option_of(name)]
    if command == "demo":
        given += ["--target", "year"]
    found = parameters_of(*given, command=command)
    for name in names:
        parameter = PARAMETERS[name]
        flag = isinstance(parameter.kind, Flag)
        expected = not parameter.default if flag else parameter.from_text(TEXTS[name])
        if (name, command) == ("target", "demo"):
            expected = "year"
        assert found[name] == expected, name
        assert found[name] != parameter.default, name


def test_the_one_that_the_others_rule_out_arrives(parameters_of):
    found = parameters_of("--objective", "wgan", "--weight-clip", "0.05")
    assert (found["objective"], found["weight_clip"]) == ("wgan", 0.05)


def test_what_is_not_given_has_its_default(parameters_of):
    found = parameters_of("--quiet")
    for name, parameter in PARAMETERS.items():
        default = parameter.default
        assert found[name] == (list(default) if name == "locales" else default), name
    assert parameters_of("--quiet", command="demo")["epochs"] == 15


def test_help_has_every_parameter_under_its_heading(capsys):
    with pytest.raises(SystemExit):
        cli.main(["fit", "--help"])
    text = capsys.readouterr().out
    words, letters = " ".join(text.split()), "".join(text.split())
    for parameter in PARAMETERS.values():
        assert re.search(rf"^  {parameter.option}\b", text, re.MULTILINE), parameter.name
        # Lines end at hyphens, too.
        assert "".join(parameter.help.split()) in letters, parameter.name
        assert f"\n{parameter.group}:\n" in text or parameter.name == "verbose"
    assert "auto for fewer in a small table (default: auto)" in words
    assert "--generator-dim N,N,..." in words
    assert words.startswith("usage: sdv-wgangp fit DATA --model M [OPTION ...] ")
    assert "hinge,relativistic(default:wgan-gp)" in letters


def test_a_table_is_fitted_with_meta_features_and_another_objective(tmp_path):
    frame, _ = demo.demo_table()
    data, model = str(tmp_path / "countries.csv"), str(tmp_path / "m.pkl")
    frame.to_csv(data, index=False)
    options = ["--meta-features", "auto", "--objective", "hinge", "--quiet", *QUICK]
    assert cli.main(["fit", data, "--model", model, *options]) == 0
    synthesizer = sdv_versions.load(model)
    parameters = synthesizer.get_parameters()
    assert (parameters["meta_features"], parameters["objective"]) == ("auto", "hinge")
    losses = synthesizer.get_meta_feature_losses()
    assert {"mean", "cov", "frequency", "contingency"} <= set(losses)
    assert np.isfinite(losses.to_numpy()).all()
    output = tmp_path / "synthetic.csv"
    assert cli.main(["sample", model, "--rows", "100", "--output", str(output)]) == 0
    assert set(pd.read_csv(output)["continent"]) <= set(frame["continent"])


def test_parameters_out_of_range_are_refused_before_the_table_is_read(capsys):
    def fit(*options):
        return fails(capsys, "fit", "none.csv", "--model", "m.pkl", *options)

    assert "--pac: pac must be a whole number of at least 1, not 0" in fit("--pac", 0)
    error = fit("--objective", "lsgan")
    assert "--objective: objective must be one of gan, wgan, wgan-gp, wgan-lp, hinge" in error
    assert "--betas: invalid number value: 'x'" in fit("--betas", "x,0.9")
    error = fit("--meta-feature-weight", "mean=-1")
    assert "meta_feature_weight of 'mean' must be a finite number of at least 0" in error


def test_parameters_that_do_not_go_together(fitted, capsys, tmp_path):
    def fit(*options):
        data, model = fitted / "people.csv", tmp_path / "m.pkl"
        return fails(capsys, "fit", data, "--model", model, "--quiet", *options)

    assert "500 is none of 3" in fit("--pac", 3, "--batch-size", 500)
    assert "column of the metadata, not 'salary'" in fit("--target", "salary")
    assert "unknown meta-feature 'meen'" in fit("--meta-features", "meen")
    error = fit("--meta-features", "mean,cor", "--meta-feature-weight", "mean=1")
    assert "meta_feature_weight has no weight for 'cor'" in error
    assert "weight_clip and the penalty wgan-gp" in fit("--weight-clip", 0.1)


# --------------------------------------------------------------------------- what it waits for


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["demo", "--help"], ["x"]])
def test_help_and_errors_of_use_wait_for_no_library(arguments):
    code = (
        "import sys; from sdv_wgangp.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as stop: print(stop.code)\n"
        "print(*sorted({'sdv', 'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    code = "2" if arguments == ["x"] else "0"
    assert result.stdout.endswith(f"{code}\n\n"), result.stdout[-200:]


# --------------------------------------------------------------------------- interruptions


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_during_training_keeps_the_model(fitted, tmp_path):
    model = tmp_path / "m.pkl"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "sdv_wgangp.cli", "fit", str(fitted / "people.csv")),
            *("--model", str(model), "--epochs", "100000", "--no-calibrate", "--verbose"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        seen = ""
        while "rows/s" not in seen:  # the progress bar after the first epoch
            piece = process.stderr.read(1)
            assert piece, seen
            seen += piece
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert f"model     {model}" in out
    output = str(tmp_path / "rows.csv")
    assert cli.main(["sample", str(model), "--rows", "10", "--output", output]) == 0


def test_ctrl_c_elsewhere_ends_with_130_and_leaves_no_file(fitted, tmp_path, monkeypatch, capsys):
    def interrupted(synthesizer, rows, length=None):
        yield make_people(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "sample_chunks", interrupted)
    output = tmp_path / "rows.csv"
    arguments = ["sample", str(fitted / "people.pkl"), "--rows", "20", "--output", str(output)]
    assert cli.main(arguments) == 130
    assert capsys.readouterr().err == "sdv-wgangp sample: interrupted\n"
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- streams


@pytest.mark.skipif(os.name == "nt", reason="redirections of POSIX")
def test_rows_are_utf_8_on_any_standard_output(tmp_path):
    """Whatever streams do to fits, tests/soak/test_faults.py has."""
    table = pd.DataFrame({"größe": np.arange(60) % 7, "ort": "Łódź"})
    table.to_csv(tmp_path / "d.csv", index=False)
    model = str(tmp_path / "m.safetensors")
    assert cli.main(["fit", str(tmp_path / "d.csv"), "--model", model, *QUICK]) == 0
    done = subprocess.run(
        f"'{sys.executable}' -m sdv_wgangp.cli sample '{model}' --rows 9 --output - 2>&-",
        shell=True,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.stdout.decode("utf-8").splitlines()[0] == "größe,ort"
    assert len(done.stdout.decode("utf-8").splitlines()) == 10


@pytest.mark.skipif(os.name == "nt", reason="sends SIGTERM")
def test_a_request_to_terminate_leaves_no_file(fitted, tmp_path, monkeypatch):
    def terminated(synthesizer, rows, length=None):
        yield make_people(10)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(models, "sample_chunks", terminated)
    output = tmp_path / "rows.csv"
    arguments = ["sample", str(fitted / "people.pkl"), "--rows", "20", "--output", str(output)]
    with pytest.raises(SystemExit, match="143"):
        cli.main(arguments)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# --------------------------------------------------------------------------- errors


def test_wrong_command_lines(capsys):
    assert "required: COMMAND" in fails(capsys)
    assert "invalid choice: 'train'" in fails(capsys, "train")
    assert "required: --model" in fails(capsys, "fit", "a.csv")
    fit = ["fit", "a.csv", "--model", "m"]
    assert "--epochs: 0 is not a positive number" in fails(capsys, *fit, "--epochs", 0)
    assert "invalid positive number value: 'x'" in fails(capsys, *fit, "--epochs", "x")
    assert "--holdout: 1.5 is not a share" in fails(capsys, *fit, "--holdout", 1.5)
    assert "--seed: -1 is not in 0" in fails(capsys, *fit, "--seed", -1)
    assert "--max-seconds: 0 is not a positive" in fails(capsys, *fit, "--max-seconds", 0)
    assert "invalid number of seconds value: 'x'" in fails(capsys, *fit, "--max-seconds", "x")
    assert "not allowed with" in fails(capsys, *fit, "--quiet", "--verbose")
    sample = ["sample", "m", "--output", "o.csv"]
    assert "see sdv-wgangp sample --help" in fails(capsys, *sample)


def test_unreadable_tables(capsys, tmp_path):
    def fit(name):
        return fails(capsys, "fit", tmp_path / name, "--model", tmp_path / "m.pkl")

    assert "none.csv: there is no such file" in fit("none.csv")
    assert "table.xlsx: give a .csv, .tsv, .txt" in fit("table.xlsx")
    (tmp_path / "empty.csv").write_text("")
    assert "empty.csv: the table has no rows" in fit("empty.csv")
    (tmp_path / "header.csv").write_text("a,b\n")
    assert "header.csv: the table has no rows" in fit("header.csv")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    assert "ragged.csv: line 3 has 3 values, and the header names 2" in fit("ragged.csv")
    (tmp_path / "latin.csv").write_bytes("name\nJosé\n".encode("latin-1"))
    assert "latin.csv: the file is not utf-8" in fit("latin.csv")
    (tmp_path / "fake.parquet").write_text("a,b\n1,2\n")
    assert "fake.parquet: cannot be read as parquet" in fit("fake.parquet")


def test_places_that_cannot_be_written_are_refused_before_the_work(fitted, capsys, tmp_path):
    data, model = fitted / "people.csv", fitted / "people.pkl"
    gone = tmp_path / "gone"
    assert f"the folder {gone} does not exist" in fails(capsys, "fit", data, "--model", gone / "m")
    assert "is a folder; give a file name" in fails(capsys, "fit", data, "--model", tmp_path)
    sample = ["sample", model, "--rows", 5, "--output"]
    assert "does not exist; create it first" in fails(capsys, *sample, gone / "o.csv")
    assert "give a .csv, .tsv, .txt" in fails(capsys, *sample, tmp_path / "o.xlsx")
    report = ["report", data, fitted / "synthetic.csv", "--html", gone / "r.html"]
    assert "does not exist" in fails(capsys, *report)
    (tmp_path / "taken").write_text("")
    assert "is a file; give another" in fails(
        capsys, "demo", "--output-folder", tmp_path / "taken"
    )


def test_metadata_that_does_not_fit(fitted, capsys, tmp_path):
    data = fitted / "people.csv"
    given = json.loads((fitted / "people.metadata.json").read_text())

    def fit(change):
        metadata = json.loads(json.dumps(given))
        (table,) = metadata["tables"].values()
        change(metadata, table)
        path = tmp_path / "given.json"
        path.write_text(json.dumps(metadata))
        model = tmp_path / "m.pkl"
        return fails(capsys, "fit", data, "--model", model, "--metadata", path)

    def add(metadata, table):
        table["columns"]["wage"] = {"sdtype": "numerical"}

    def drop(metadata, table):
        del table["columns"]["age"]

    def spoil(metadata, table):
        table["columns"]["age"] = {"sdtype": "roman"}

    def second(metadata, table):
        metadata["tables"]["more"] = {"columns": {"x": {"sdtype": "numerical"}}}

    def mistype(metadata, table):
        table["columns"]["group"] = {"sdtype": "numerical"}

    assert "describes column 'wage', which the data does not have" in fit(add)
    assert "does not describe column 'age' of the data; add it or drop it" in fit(drop)
    assert "given.json: is not SDV metadata of one table" in fit(spoil)
    assert "is not SDV metadata of one table" in fit(second)
    assert "'group'" in fit(mistype)
    (tmp_path / "broken.json").write_text("{")
    arguments = ["fit", data, "--model", tmp_path / "m.pkl", "--metadata"]
    assert "broken.json: is not SDV" in fails(capsys, *arguments, tmp_path / "broken.json")
    assert "none.json: there is no such file" in fails(capsys, *arguments, tmp_path / "none.json")


def test_new_rows_of_the_same_columns_are_fitted_again(fitted, capsys, tmp_path):
    """SDV's detected metadata may hold ranges, which new rows may leave."""
    people = pd.read_csv(fitted / "people.csv")
    for top in (90, 95, 99):
        people.assign(age=people["age"].clip(upper=top - 1).mask(people.index == 0, top)).to_csv(
            tmp_path / "d.csv", index=False
        )
        fit = ["fit", tmp_path / "d.csv", "--model", tmp_path / "m.pkl", "--quiet", *QUICK]
        assert cli.main(list(map(str, fit))) == 0
    # Also with the metadata that the first fit wrote.
    assert cli.main([*map(str, fit), "--metadata", str(tmp_path / "m.metadata.json")]) == 0


def test_a_fit_says_what_it_is_at(fitted, capsys, tmp_path):
    model = str(tmp_path / "m.pkl")
    assert cli.main(["fit", str(fitted / "people.csv"), "--model", model, *QUICK]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "read 300 rows, 5 columns" in said
    stages = [each for each in said if each == "encoding" or each.startswith("training: ")]
    assert len(stages) == 2
    assert stages[1].endswith(" steps, 1 epochs")


def test_how_long_a_fit_will_take_is_said_once():
    said, now = [], [0.0]
    watch = course.Course(said.append, after=10, clock=lambda: now[0])
    run = SimpleNamespace(
        step=0,
        epoch=0,
        epochs=100,
        source=SimpleNamespace(steps_per_epoch=300),
        schedule=SimpleNamespace(steps=0, expected_steps=30_000),
    )
    watch.on_fit_begin(run)
    for step in range(1, 60):
        run.step = run.schedule.steps = step
        now[0] = 0.5 * step
        watch.on_step(run)
    assert said[0] == "training: 30,000 steps, 100 epochs"
    assert said[1].startswith("training ends in about 4.2 h; Ctrl-C")
    assert len(said) == 2


@pytest.mark.parametrize("place", [10, 0.3, 0.6, 0.9])
def test_damaged_pickles_are_refused(fitted, capsys, tmp_path, place):
    content = bytearray((fitted / "people.pkl").read_bytes())
    content[place if place > 1 else int(place * len(content))] ^= 1
    (tmp_path / "m.pkl").write_bytes(content)
    sample = ["sample", tmp_path / "m.pkl", "--rows", 5, "--output", tmp_path / "o.csv"]
    assert "was changed after it was saved" in fails(capsys, *sample)
    assert len(sdv_versions.load(fitted / "people.pkl").sample(5)) > 0


@pytest.mark.skipif(not sdv_versions.takes_dictionaries(), reason="SDV 1.38 has no ordinals")
def test_ordinal_columns_are_read_as_they_are(fitted, tmp_path):
    metadata = json.loads((fitted / "people.metadata.json").read_text())
    (table,) = metadata["tables"].values()
    table["columns"]["age"] = {"sdtype": "ordinal"}
    (tmp_path / "m.json").write_text(json.dumps(metadata))
    assert "age" not in text_columns(read_metadata(tmp_path / "m.json"))


def test_numbers_that_repeat_are_no_made_up_names():
    said = []
    frame = pd.DataFrame(
        {
            "state": np.resize(range(50), 500),
            "city": np.resize(["Ulm", "Rom"], 500),
            "x": np.linspace(0, 1, 500),
        }
    )
    assert sdtypes(guess(frame, said.append))["state"] == "numerical"
    assert sdtypes(guess(frame))["city"] == "city"
    assert said == ["'state' has numbers that repeat: numerical, not administrative_unit"]


def test_outputs_that_are_inputs_are_refused(fitted, capsys, tmp_path):
    data = tmp_path / "m.train.csv"
    text = (fitted / "people.csv").read_text()
    data.write_text(text)
    (tmp_path / "link.csv").symlink_to(data)
    for arguments in (
        ["fit", data, "--model", tmp_path / "m.pkl", "--holdout", 0.1],
        ["fit", tmp_path / "link.csv", "--model", tmp_path / "m.pkl", "--holdout", 0.1],
        ["fit", data, "--model", data],
        ["sample", fitted / "people.pkl", "--rows", 5, "--output", fitted / "people.pkl"],
    ):
        assert "would be overwritten" in fails(capsys, *arguments)
    assert data.read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["link.csv", "m.train.csv"]


def test_a_model_that_cannot_be_saved_is_kept_elsewhere(fitted, tmp_path, monkeypatch, capsys):
    """What no check before the training has seen: the disk fills up, a value cannot be stored."""
    errors = [OSError(28, "No space left on device"), saving.ModelFileError("an odd object")]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    for error, folder in zip(errors, ("other", "."), strict=True):

        def fail(self, path, error=error):
            raise error

        monkeypatch.setattr(WGANGPMFSSynthesizer, "save_model", fail)
        fit = ["fit", fitted / "people.csv", "--model", tmp_path / "m.safetensors", "--quiet"]
        assert cli.main([*map(str, fit), *QUICK]) == 1
        kept = tmp_path / folder / "m.pkl"
        told = capsys.readouterr()
        assert f"the model is {kept}" in told.err
        assert len(models.load_model(kept).sample(5)) > 0
    assert not (tmp_path / "m.safetensors").exists()


def test_rows_on_standard_output(fitted, capsys, monkeypatch):
    calibrated, original = [], models.load_model

    def load(path):
        synthesizer = original(path)
        synthesizer.model.calibrated = True
        calibrated.append(synthesizer.model)
        return synthesizer

    monkeypatch.setattr(models, "load_model", load)
    sample = ["sample", str(fitted / "people.pkl"), "--rows", "2e2", "--output", "-"]
    assert cli.main(sample) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 201
    assert "200 rows" in told.err
    assert cli.main([*sample, "--no-calibrate"]) == 0
    assert [model.calibrated for model in calibrated] == [True, False]


def test_text_files_of_other_kinds(tmp_path, capsys):
    rows = "".join(f"{i % 7:05};{i % 5},25;{'NA' if i % 3 else 'DE'}\n" for i in range(300))
    (tmp_path / "d.txt").write_text("plz;x;land\n" + rows)
    model = str(tmp_path / "m.safetensors")
    assert cli.main(["fit", str(tmp_path / "d.txt"), "--model", model, *QUICK]) == 0
    told = capsys.readouterr().out
    assert "separated by semicolon, decimals by comma" in told
    assert "'plz' has leading zeros and is text" in told
    out = tmp_path / "s.csv"
    assert cli.main(["sample", model, "--rows", "50", "--output", str(out), "--quiet"]) == 0
    sample = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert sample["plz"].str.fullmatch("0000[0-6]").all()
    assert set(sample["land"]) == {"NA", "DE"}
    assert sample["x"].str.fullmatch(r"[0-4]\.25").all()


def test_edited_metadata_is_not_overwritten(fitted, capsys, tmp_path):
    edited = tmp_path / "m.metadata.json"
    text = (fitted / "people.metadata.json").read_text()
    metadata = json.loads(text)
    (table,) = metadata["tables"].values()
    table["columns"]["member"] = {"sdtype": "categorical"}
    table["columns"]["age"] = {"sdtype": "categorical"}
    edited.write_text(json.dumps(metadata))
    error = fails(capsys, "fit", fitted / "people.csv", "--model", tmp_path / "m.pkl")
    assert f"use it with --metadata {edited}, or delete it" in error
    assert json.loads(edited.read_text()) == metadata


def test_a_detected_key_is_pointed_out(fitted, capsys, tmp_path):
    model = str(tmp_path / "m.pkl")
    assert cli.main(["fit", str(fitted / "people.csv"), "--model", model, *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "note: 'id' was taken for the primary key and gets made-up values" in printed
    assert "categorical: group" in printed


def test_things_that_are_no_models(fitted, capsys, tmp_path):
    sample = ["--rows", 5, "--output", tmp_path / "o.csv"]
    error = fails(capsys, "sample", tmp_path / "none.pkl", *sample)
    assert "there is no such file; make a model with sdv-wgangp fit" in error
    error = fails(capsys, "sample", fitted / "people.csv", *sample)
    assert "people.csv: is not a saved synthesizer" in error
    assert list(tmp_path.iterdir()) == []


def test_reports_of_tables_that_do_not_belong_together(fitted, capsys, tmp_path):
    data = fitted / "people.csv"
    other = tmp_path / "other.csv"
    pd.read_csv(fitted / "synthetic.csv").drop(columns="age").to_csv(other, index=False)
    assert f"{other}: has no column 'age', which {data} has" in fails(
        capsys, "report", data, other
    )
    error = fails(capsys, "report", data, data, "--holdout", other)
    assert f"{other}: has no column 'age'" in error
    error = fails(capsys, "report", data, data, "--target", "wage")
    assert "target 'wage' is not a column that can be predicted: choose one of" in error


def test_a_holdout_that_leaves_nothing(fitted, capsys, tmp_path):
    model = tmp_path / "m.pkl"
    error = fails(capsys, "fit", fitted / "people.csv", "--model", model, "--holdout", 0.001)
    assert "--holdout 0.001 of 300 rows leaves one part empty" in error


def test_demo_data_without_internet(capsys, monkeypatch, tmp_path):
    def download(name):
        raise OSError("Could not connect\nto the endpoint")

    monkeypatch.setattr(sdv_versions, "download_demo", download)
    folder = tmp_path / "out"
    error = fails(capsys, "demo", "--dataset", "adult", "--output-folder", folder)
    assert "--dataset adult: cannot be downloaded (Could not connect to the endpoint)" in error
    assert "leave --dataset out" in error
    error = fails(capsys, "demo", "--target", "wage", "--output-folder", folder)
    assert "--target wage: gapminder has the columns continent, year" in error
    assert not folder.exists()


def test_a_batch_that_the_synthesizer_refuses(fitted, capsys, tmp_path):
    model = tmp_path / "m.pkl"
    error = fails(capsys, "fit", fitted / "people.csv", "--model", model, "--batch-size", 1)
    assert "batch_size must be 'auto' or a whole number of at least 2" in error


def test_diverged_training_leaves_the_last_good_model(fitted, capsys, tmp_path, monkeypatch):
    from sdv_wgangp.training.log import NonFiniteLossError
    from sdv_wgangp.training.run import Run

    def diverge(run):
        raise NonFiniteLossError("a loss became non-finite")

    monkeypatch.setattr(Run, "finish_epoch", diverge)
    model = tmp_path / "m.pkl"
    error = fails(capsys, "fit", fitted / "people.csv", "--model", model, "--quiet", *QUICK)
    assert f"a loss became non-finite; that model was written to {model}" in error
    assert model.exists()


def test_debug_shows_the_error_itself(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        cli.main(["fit", str(tmp_path / "none.csv"), "--model", str(tmp_path / "m"), "--debug"])


def test_defects_are_told_from_errors_of_use(monkeypatch, capsys):
    def defect(options):
        raise KeyError("surprise")

    monkeypatch.setattr(status, "run", defect)
    assert cli.main(["status"]) == 1
    error = capsys.readouterr().err
    assert error == "sdv-wgangp status: unexpected KeyError: 'surprise' (--debug shows where)\n"


def test_warnings_are_one_line_each(capsys):
    with output.calm():
        warnings.warn("look\nhere", UserWarning, stacklevel=1)
        warnings.warn("not here", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err == "sdv-wgangp: warning: look here\n"


@pytest.mark.parametrize("module", [course, options, fit, user_errors])
def test_examples_in_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


# --------------------------------------------------------------------------- files


def test_parquet_pieces_may_begin_without_values(tmp_path):
    path = tmp_path / "t.parquet"
    pieces = [
        pd.DataFrame({"x": [1.0, 2.0], "kind": [None, None]}),
        pd.DataFrame({"x": [3.0, np.nan], "kind": ["a", None]}),
    ]
    with files.TableWriter(path) as out:
        for piece in pieces:
            out.write(piece)
    pd.testing.assert_frame_equal(
        pd.read_parquet(path), pd.concat(pieces, ignore_index=True), check_dtype=False
    )


def test_parquet_columns_of_mixed_types_name_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"column kind .*write \.csv instead"):
        files.write_table(pd.DataFrame({"kind": ["a", 1]}), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_columns_of_the_same_name_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,a\n1,2,3\n")
    with pytest.raises(UserError, match=r"t\.csv: two columns are called 'a'; rename one"):
        files.read_table(path)


def test_sdv_versions_pack_and_unpack_one_table():
    people = make_people(20)
    metadata = sdv_versions.detect_metadata(people, "people")
    packed = sdv_versions.as_fit_input(metadata, people)
    assert isinstance(packed, dict) == sdv_versions.takes_dictionaries()
    assert sdv_versions.as_frame(packed) is people
    assert sdv_versions.as_frame({"people": people}) is people
    with pytest.raises(ValueError, match="expected one table, got 2"):
        sdv_versions.as_frame({"a": people, "b": people})
