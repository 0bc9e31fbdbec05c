"""What trackers wrote is read back, also of trainings that were killed and continued.

Run as a program this file is the training that is killed: ``KIND FOLDER EPOCHS KILL_AT``.
"""

from __future__ import annotations

import atexit
import csv
import errno
import functools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import sdv_wgangp
from sdv_wgangp.players.protocols import Losses
from sdv_wgangp.training.callbacks import tracker as tracker_module
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints
from sdv_wgangp.training.callbacks.csv import CSVTracker
from sdv_wgangp.training.callbacks.figures import Figures
from sdv_wgangp.training.callbacks.gradient_norms import GradientNorms
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.optimizers import Adam
from sdv_wgangp.training.run import Critic, Run
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.sources import TensorSource

STEPS_PER_EPOCH = 8
NAMES = {
    "losses/critic/loss",
    "losses/critic/penalty",
    "losses/generator/adversarial",
    "gradient_norms/critic",
    "gradient_norms/generator",
    "rates/critic",
    "rates/generator",
    "speed/rows_per_second",
}


class Player:
    """A player with one weight per column, as the loop knows players."""

    def __init__(self):
        self.parameters = [torch.ones(3)]
        self.parameter_names = ["weight"]

    def state_dict(self):
        return {"weight": self.parameters[0]}

    def load_state_dict(self, state):
        self.parameters[0].copy_(state["weight"])


class SmallGenerator(Player):
    def fakes(self, reals, random):
        return [self.forward(real, random) for real in reals]

    def given(self, real):
        return real

    def forward(self, real, random):
        return torch.randn(real.shape, generator=random) * self.parameters[0]

    def rows(self, generated):
        return generated

    def backward(self, generated, pulls):
        return [(pulls.rows * generated / self.parameters[0]).mean(0)]

    def refresh(self):
        pass


class SmallCritic(Player):
    def step(self, objective, step, real, fake, random):
        gradient = fake.square().mean(0) - real.square().mean(0)
        loss = (gradient * self.parameters[0]).sum()
        return [gradient], Losses(("loss", "penalty"), torch.stack([loss, loss.square()]))

    def pull(self, objective, fake, real, random):
        score = (fake.square() @ self.parameters[0]).mean()
        return -score, -2 * fake * self.parameters[0]


def small_run() -> Run:
    players = {"generator": SmallGenerator(), "critic": SmallCritic()}
    return Run(
        players["generator"],
        {"critic": Critic(players["critic"], SimpleNamespace(weight_clip=None))},
        {name: Adam(each.parameters, 0.01) for name, each in players.items()},
        torch.Generator().manual_seed(0),
        schedule=Schedule(1_000),
        hyperparameters={"batch_size": 4, "dims": [1, 2], "optimizer": "adam", "none": None},
    )


def source() -> TensorSource:
    return TensorSource(torch.randn(STEPS_PER_EPOCH * 4, 3), 4)


class States:
    """A state every few steps, told before those that come after it."""

    def __init__(self, path: Path, every: int):
        self.path, self.every = path, every

    def on_step(self, run):
        if run.step % self.every == 0:
            unfinished = self.path.with_suffix(".unfinished")
            torch.save(run.state_dict(), unfinished)
            unfinished.replace(self.path)


class Kill:
    def __init__(self, at: int):
        self.at = at

    def on_step(self, run):
        if run.step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def score(run):
    """A score of every epoch, in the log as a model writes it."""
    log = run.logs[-1]
    object.__setattr__(log, "validation_score", 0.5 + log.epoch / 100)


class Scored:
    def on_epoch(self, run):
        score(run)


def draw(run):
    from matplotlib.figure import Figure

    torch.rand(1)  # what a figure draws must not matter to the training
    torch.rand(1, generator=run.random)
    figure = Figure((2, 1))
    figure.subplots().plot([0, run.step])
    return figure


def make(kind: str, folder: Path, every_steps: int = 1, figures: bool = True):
    options = {
        "every_steps": every_steps,
        "figures_every": 2,
        "figures": {"line": draw} if figures else None,
    }
    if kind == "csv":
        return CSVTracker(folder, **options)
    if kind == "tensorboard":
        from sdv_wgangp.training.callbacks.tensorboard import TensorBoardTracker

        return TensorBoardTracker(folder, **options)
    from sdv_wgangp.training.callbacks.aim import AimTracker

    if not (folder / ".aim").exists():
        shutil.copytree(empty_aim_repository(), folder, dirs_exist_ok=True)
    return AimTracker(folder, "small", **options)


@functools.cache
def empty_aim_repository() -> Path:
    """Aim takes seconds to make one."""
    from aim import Repo

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Repo.from_path(str(folder), init=True)
    return folder


def train_apart(kind: str, *arguments: object) -> int:
    """The exit code of `main` in a process of its own; minus the signal that killed it."""
    if kind == "aim":  # whose threads do not live on in a fork
        root = str(Path(sdv_wgangp.__file__).parents[1])
        code = (
            f"import sys, runpy; sys.modules['sdv'] = None; sys.path.insert(0, {root!r}); "
            f"runpy.run_path({__file__!r}, run_name='__main__')"
        )
        command = [sys.executable, "-c", code, kind, *map(str, arguments)]
        return subprocess.run(command, check=False, timeout=300).returncode
    child = os.fork()
    if child == 0:
        code = 1
        try:
            main(kind, *map(str, arguments))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# --------------------------------------------------------------------------- reading back


def read_csv(folder: Path):
    """Scalars ``{name: [(step, value), ...]}``, hyper-parameters, steps of the figure, scores."""
    scalars: dict[str, list] = {}
    for file, prefix in (("steps.csv", ""), ("epochs.csv", "epoch/")):
        with (folder / file).open(newline="") as table:
            for row in csv.DictReader(table):
                step = int(row.pop("step"))
                for name, value in row.items():
                    if value != "" and name != "epoch":
                        scalars.setdefault(prefix + name, []).append((step, float(value)))
    figures = sorted(int(path.stem) for path in (folder / "figures/line").glob("*.png"))
    parameters = json.loads((folder / "hyperparameters.json").read_text())
    final = folder / "final.json"
    return scalars, parameters, figures, json.loads(final.read_text()) if final.exists() else {}


def read_tensorboard(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    scalars, final = {}, {}
    for tag in events.Tags()["scalars"]:
        values = [(event.step, event.value) for event in events.Scalars(tag)]
        if tag.startswith("final/"):
            assert len(values) == 1
            final[tag.removeprefix("final/")] = values[0][1]
        else:
            scalars[tag] = values
    figures = []
    if "figures/line" in events.Tags()["images"]:
        figures = [event.step for event in events.Images("figures/line")]
    # What the HPARAMS page reads.
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    parameters = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    }
    (text,) = events.Tensors("hyperparameters/text_summary")
    assert b"| optimizer | adam |" in text.tensor_proto.string_val[0]
    return scalars, parameters, figures, final


def read_aim(folder: Path):
    from aim import Repo

    repo = Repo.from_path(str(folder))
    repo._recreate_index()  # `aim storage reindex`
    # One that was killed before its first checkpoint began again as another.
    run = max(repo.iter_runs(), key=lambda run: run.creation_time)
    scalars = {}
    for metric in run.metrics():
        steps, (values, _, _) = metric.data.numpy()
        scalars[metric.name] = list(zip(steps.tolist(), values.tolist(), strict=True))
        known = run.meta_run_tree["traces", metric.context.idx, metric.name]
        assert known["last_step"] == steps[-1]
        assert known["last"] == values[-1]
        assert (known["min"], known["max"]) == (min(values), max(values))
    figures = []
    for info in run.collect_sequence_info("images")["images"]:
        from aim.storage.context import Context

        if info["name"] != "figures/line":  # those that every run has
            continue

        for step, (image, *_) in run.get_image_sequence("figures/line", Context({})).data:
            figures.append(step)
            assert image.to_pil_image().size == (200, 100)
    return scalars, run["hparams"], figures, run.get("final", {})


READERS = {"csv": read_csv, "tensorboard": read_tensorboard, "aim": read_aim}


@pytest.fixture(params=list(READERS))
def kind(request):
    for package in {"tensorboard": ["tensorboard", "matplotlib"], "aim": ["aim"]}.get(
        request.param, []
    ):
        pytest.importorskip(package)
    return request.param


def steps_of(scalars, name):
    return [step for step, _ in scalars[name]]


def have_matplotlib() -> bool:
    return tracker_module.have_matplotlib()


# --------------------------------------------------------------------------- tests


def test_all_is_there(kind, tmp_path):
    run = train(small_run(), source(), 5, [Scored(), make(kind, tmp_path)])
    scalars, parameters, figures, final = READERS[kind](tmp_path)
    assert set(scalars) >= NAMES
    every = list(range(1, 41))
    for name in NAMES:
        assert steps_of(scalars, name) == every, name
    ends = [8, 16, 24, 32, 40]
    assert steps_of(scalars, "epoch/validation_score") == ends
    assert [v for _, v in scalars["epoch/validation_score"]] == pytest.approx(
        [0.5, 0.51, 0.52, 0.53, 0.54]
    )
    means = [log.losses["critic/loss"] for log in run.logs]
    assert [v for _, v in scalars["epoch/critic/loss"]] == pytest.approx(means, rel=1e-5)
    by_step = [value for _, value in scalars["losses/critic/loss"]]
    for epoch, mean in enumerate(means):
        own = by_step[8 * epoch : 8 * epoch + 8]
        assert sum(own) / 8 == pytest.approx(mean, rel=1e-4)
    assert scalars["rates/generator"][-1][1] == pytest.approx(run.optimizers["generator"].rate)
    norm = run.gradients["critic"][0].norm().item()
    assert scalars["gradient_norms/critic"][-1][1] == pytest.approx(norm, rel=1e-5)
    assert parameters["batch_size"] == 4
    assert parameters["optimizer"] == "adam"
    assert final["validation_score"] == pytest.approx(0.54)
    if have_matplotlib():
        assert figures == [16, 32, 40]


def test_only_every_few_steps(kind, tmp_path):
    train(small_run(), source(), 3, [make(kind, tmp_path, every_steps=5)])
    scalars, *_ = READERS[kind](tmp_path)
    assert steps_of(scalars, "losses/critic/loss") == [5, 10, 15, 20]
    assert steps_of(scalars, "epoch/critic/loss") == [8, 16, 24]


# 12 is in the middle of an epoch, 16 its last step, with the epoch not yet finished.
@pytest.mark.parametrize(("every", "kill_at"), [(12, 23), (16, 31), (4, 3), (8, 39)])
def test_every_step_once_after_a_kill(kind, tmp_path, every, kill_at):
    if kind == "aim" and every > 4 and every != 16:
        pytest.skip("its processes take long to begin")
    assert train_apart(kind, tmp_path, 5, every, kill_at) == -signal.SIGKILL
    assert train_apart(kind, tmp_path, 5, every, -1) == 0
    scalars, _, figures, final = READERS[kind](tmp_path / "track")
    for name in NAMES:
        assert steps_of(scalars, name) == list(range(1, 41)), name
    for name in scalars:
        if name.startswith("epoch/"):
            assert steps_of(scalars, name) == [8, 16, 24, 32, 40], name
    assert final["steps"] == 40
    if have_matplotlib():
        assert figures == [16, 32, 40]
    # The same values as of a training that nothing disturbed.
    undisturbed = tmp_path / "undisturbed"
    torch.manual_seed(0)
    train(small_run(), source(), 5, [Scored(), make(kind, undisturbed)])
    expected, *_ = READERS[kind](undisturbed)
    assert set(scalars) == set(expected)
    for name in set(scalars) - {"speed/rows_per_second", "epoch/rows_per_second"}:
        assert scalars[name] == expected[name], name


@pytest.mark.parametrize("first", [True, False])
def test_beside_checkpoints(kind, tmp_path, first):
    """Whichever is told of a step first; the norms of gradients are in the state, too."""
    folder, states = tmp_path / "track", tmp_path / "checkpoints"
    for epochs in (3, 5):
        tracked, norms = make(kind, folder, figures=False), GradientNorms()
        checkpoints = Checkpoints(states, every_epochs=None, every_steps=5)
        run, callbacks = small_run(), [norms, tracked]
        callbacks.insert(0 if first else 2, checkpoints)
        if epochs == 5:
            run.load_state_dict(checkpoints.load())
        train(run, source(), epochs, callbacks)
    scalars, *_ = READERS[kind](folder)
    for name in NAMES:
        assert steps_of(scalars, name) == list(range(1, 41)), name
    assert steps_of(scalars, "epoch/rates/critic") == [8, 16, 24, 32, 40]
    assert norms.steps == list(range(1, 41))


def test_a_shorter_continuation_leaves_nothing_beyond(kind, tmp_path):
    """It ends before the step at which the first was killed."""
    assert train_apart(kind, tmp_path, 5, 8, 30) == -signal.SIGKILL
    assert train_apart(kind, tmp_path, 3, 8, -1) == 0
    scalars, _, figures, final = READERS[kind](tmp_path / "track")
    assert steps_of(scalars, "losses/critic/loss") == list(range(1, 25))
    assert steps_of(scalars, "epoch/critic/loss") == [8, 16, 24]
    assert final["epochs"] == 3
    if have_matplotlib():
        assert figures == [16, 24]


def test_continued_in_one_process(kind, tmp_path):
    run, tracked = small_run(), make(kind, tmp_path)
    train(run, source(), 2, [tracked])
    train(run, source(), 4, [tracked])
    scalars, *_ = READERS[kind](tmp_path)
    assert steps_of(scalars, "losses/critic/loss") == list(range(1, 33))
    assert steps_of(scalars, "epoch/critic/loss") == [8, 16, 24, 32]


def test_it_is_not_known_that_it_is_watched(kind, tmp_path):
    """The weights are those of a training without a tracker."""
    data = torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
    weights = []
    for callbacks in ([], [make(kind, tmp_path)]):
        run = train(small_run(), TensorSource(data, 4), 4, callbacks)
        weights.append(run.generator.parameters[0])
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def test_a_tracker_can_be_pickled(kind, tmp_path):
    tracked = make(kind, tmp_path, figures=False)
    train(small_run(), source(), 1, [tracked])
    again = pickle.loads(pickle.dumps(tracked))
    assert again.state_dict() == tracked.state_dict()


@pytest.mark.parametrize("name", ["every_steps", "figures_every"])
def test_numbers_are_checked(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got 0"):
        CSVTracker(tmp_path, **{name: 0})


def test_another_training_in_the_folder_is_kept(tmp_path, caplog):
    for _ in range(3):
        train(small_run(), source(), 1, [CSVTracker(tmp_path, 1)])
    assert "holds another training" in caplog.text
    for folder in (tmp_path, tmp_path / "earlier-1", tmp_path / "earlier-2"):
        assert steps_of(read_csv(folder)[0], "losses/critic/loss") == list(range(1, 9))
    # An object that watches a second training does not mix it with the first.
    tracked = CSVTracker(tmp_path / "two", 1)
    train(small_run(), source(), 1, [tracked])
    train(small_run(), source(), 2, [tracked])
    assert steps_of(read_csv(tmp_path / "two")[0], "losses/critic/loss") == list(range(1, 17))
    assert (tmp_path / "two/earlier-1/steps.csv").exists()


def test_a_row_that_was_not_finished_goes(tmp_path):
    run, tracked = small_run(), CSVTracker(tmp_path, 1)
    train(run, source(), 1, [tracked])
    with (tmp_path / "steps.csv").open("a") as file:
        file.write("1")  # of 11
    train(run, source(), 2, [tracked])
    assert steps_of(read_csv(tmp_path)[0], "losses/critic/loss") == list(range(1, 17))


def test_new_names_make_new_columns(tmp_path):
    tracked = CSVTracker(tmp_path, 1)
    tracked.open(SimpleNamespace(hyperparameters={}), None)
    for step, names in ((1, ["a"]), (2, ["a", "b, c"]), (3, ["b, c"])):
        tracked.write([tracker_module.Point(step, dict.fromkeys(names, 0.5))])
    tracked.finish({}, 3)
    assert (tmp_path / "steps.csv").read_text() == 'step,a,"b, c"\n1,0.5,\n2,0.5,0.5\n3,,0.5\n'


class Disk:
    """Full at some steps. What does not fit is written in part, as disks do.

    Only files that are continued at their end are on it.
    """

    def __init__(self, monkeypatch, full):
        monkeypatch.undo()  # what another disk did
        self.full, self.now, self._open = full, False, Path.open
        monkeypatch.setattr(Path, "open", lambda *arguments, **how: self.open(*arguments, **how))

    def open(self, path, mode="r", **how):
        file = self._open(path, mode, **how)
        return CrammedFile(file, self) if mode == "ab" else file

    def on_step(self, run):
        self.now = run.step in self.full


class CrammedFile:
    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def write(self, data):
        if self.disk.now:
            if len(data) > 40:
                return self.file.write(data[:40])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("full", [range(4, 12), range(7, 18), [8], [24], range(5, 25)], ids=str)
def test_where_the_disk_is_full_for_a_while_no_point_is_lost(full, tmp_path, monkeypatch):
    """Not within one training, nor where it ends so and continues from a checkpoint."""
    for epochs in (3, 5):
        run, disk = small_run(), Disk(monkeypatch, full if epochs == 3 else ())
        tracked = CSVTracker(tmp_path / "track", 1)
        checkpoints = Checkpoints(tmp_path / "checkpoints", every_epochs=None, every_steps=5)
        if epochs == 5:
            run.load_state_dict(checkpoints.load())
            train(run, source(), epochs, [disk, tracked, checkpoints])
        else:
            with pytest.warns(UserWarning, match="CSVTracker cannot write: No space left") as told:
                train(run, source(), epochs, [disk, tracked, checkpoints])
            assert len([each for each in told if "cannot write" in str(each.message)]) == 1
    scalars, *_ = read_csv(tmp_path / "track")
    for name in NAMES:
        assert steps_of(scalars, name) == list(range(1, 41)), name
    assert steps_of(scalars, "epoch/critic/loss") == [8, 16, 24, 32, 40]


def test_a_training_that_fails_has_its_end(kind, tmp_path):
    def fail(log):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        train(small_run(), source(), 3, [fail, make(kind, tmp_path)])
    scalars, *_ = READERS[kind](tmp_path)
    assert steps_of(scalars, "losses/critic/loss") == list(range(1, 9))
    assert steps_of(scalars, "epoch/critic/loss") == [8]


def test_what_is_no_figure_is_refused(tmp_path):
    pytest.importorskip("matplotlib")
    figures = {"text": lambda run: "a figure"}
    with pytest.raises(TypeError, match="must return a matplotlib Figure, not str"):
        train(small_run(), source(), 1, [CSVTracker(tmp_path, figures_every=1, figures=figures)])


def test_without_matplotlib_csv_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tracker_module, "have_matplotlib", lambda: False)
    train(small_run(), source(), 1, [CSVTracker(tmp_path, figures={"line": draw})])
    assert "No figures are drawn: pip install matplotlib" in caplog.text


def test_a_missing_package_is_named_at_construction(tmp_path, monkeypatch):
    monkeypatch.setattr(tracker_module, "find_spec", lambda name: None)
    (tmp_path / ".aim").mkdir()
    for extra in ("tensorboard", "aim"):
        with pytest.raises(ImportError, match=rf"{extra}.*'sdv-wgangp\[{extra}\]'"):
            make(extra, tmp_path)


def test_figures_by_themselves(tmp_path):
    pytest.importorskip("matplotlib")
    run = small_run()
    run.figures = {"of the/model": draw}
    callback = Figures(tmp_path, {"line": draw}, every=2)
    train(run, source(), 3, [callback])
    for name in ("line", "of the_model"):
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["16.png", "24.png"]
    again = small_run()
    train(again, source(), 1, [Figures(tmp_path, {"line": draw}, every=2)])
    assert [path.name for path in (tmp_path / "line").iterdir()] == ["8.png"]


def test_gradient_norms():
    norms = GradientNorms(keep=10)
    run = train(small_run(), source(), 2, [norms])
    assert norms.steps == list(range(7, 17))
    assert norms.players == ["critic", "generator"]
    last = run.gradients["generator"][0].norm()
    torch.testing.assert_close(norms.of("generator")[-1], last)
    assert list(norms.by_layer("critic")) == ["weight"]
    again = GradientNorms(keep=10)
    again.load_state_dict(norms.state_dict())
    assert again.steps == norms.steps
    torch.testing.assert_close(again.of("critic"), norms.of("critic"), rtol=0, atol=0)


def test_a_layer_without_gradient_has_no_norm():
    norms = GradientNorms()
    gradients = {"critic": [None, torch.tensor([3.0, 4.0])], "frozen": [None]}
    norms.on_step(SimpleNamespace(step=1, gradients=gradients, critics={}))
    assert norms.of("critic").tolist() == [5.0]
    assert norms.by_layer("critic")["0"].isnan().all()
    assert norms.players == ["critic"]


def main(kind: str, folder: str, epochs: str, every: str, kill_at: str) -> None:
    """Train from the last checkpoint, if there is one, and be killed after a step."""
    torch.manual_seed(0)
    checkpoint = Path(folder, "checkpoint")
    run = small_run()
    if checkpoint.exists():
        run.load_state_dict(torch.load(checkpoint, weights_only=True))
    tracked = make(kind, Path(folder, "track"))
    callbacks = [States(checkpoint, int(every)), Scored(), tracked, Kill(int(kill_at))]
    train(run, source(), int(epochs), callbacks)


if __name__ == "__main__":
    main(*sys.argv[1:])
