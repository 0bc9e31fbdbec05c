"""Checkpoints: what is kept, what is refused, and that a training continues bit for bit."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sdv_wgangp.objectives.adversarial import objective
from sdv_wgangp.persistence import durable
from sdv_wgangp.persistence.durable import InUseError
from sdv_wgangp.persistence.fingerprint import fingerprint_of
from sdv_wgangp.persistence.state import (
    CheckpointError,
    CheckpointMismatchError,
    StateFile,
    read_state,
    write_state,
)
from sdv_wgangp.training.callbacks import checkpoint as module
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints, checkpoints_in, load_latest
from sdv_wgangp.training.log import NonFiniteLossError
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.runs import run_of
from sdv_wgangp.training.sources import TensorSource

STEPS, EPOCHS = 5, 4  # steps of an epoch
SETTINGS = {"settings": {"lr": 0.001}, "table": "abc"}


def ready(width: int = 8):
    """A run with all that has a state: dropout, batch statistics, an average, two critic steps."""
    torch.manual_seed(3)
    generator = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    critic = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(), nn.Dropout(), nn.Linear(width, 1))
    return run_of(
        generator,
        critic,
        objective("wgan-gp"),
        noise=4,
        seed=0,
        lr=1e-2,
        betas=(0.5, 0.9),
        critic_steps=2,
        ema_decay=0.9,
    )


def source() -> TensorSource:
    data = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    return TensorSource(data, 10, critic_steps=2)


class At:
    """Does something after a step."""

    def __init__(self, step: int, do):
        self.step, self.do = step, do

    def on_step(self, run):
        return self.do() if run.step == self.step else None


class Scores:
    """Gives the epochs validation scores."""

    def __init__(self, *scores):
        self.scores = scores

    def on_epoch(self, run):
        run.logs[-1] = replace(run.logs[-1], validation_score=self.scores[run.logs[-1].epoch])


def trained(folder, *callbacks, run=None, epochs=EPOCHS, **options):
    """A training with checkpoints, and the callback that wrote them."""
    checkpoints = Checkpoints(folder, fingerprint=SETTINGS, **options)
    return train(run or ready(), source(), epochs, [*callbacks, checkpoints]), checkpoints


def names(folder) -> list[str]:
    return sorted(each.name for each in Path(folder).iterdir())


def steps(folder) -> list[int]:
    return [int(path.stem.split("-")[1]) for path in checkpoints_in(folder)]


def result_of(run) -> dict:
    """All that a training leaves, but for its times."""
    state = run.state_dict()
    for name in ("callbacks", "epoch_seconds"):
        del state[name]
    for log in state["logs"]:
        del log["rows_per_second"]
    return fingerprint_of(**state)


# --------------------------------------------------------------------------- bit for bit


@pytest.fixture(scope="module")
def expected() -> dict:
    return result_of(train(ready(), source(), EPOCHS))


@pytest.mark.parametrize("step", range(1, STEPS * EPOCHS + 1))
def test_a_training_continues_from_every_step(step, tmp_path, expected):
    stopped, _ = trained(tmp_path, At(step, lambda: True))
    assert stopped.step == step
    state, path = load_latest(tmp_path, SETTINGS)
    assert path.name == f"step-{step:08}.checkpoint"
    run = ready()
    run.load_state_dict(state)
    trained(tmp_path, run=run)
    assert result_of(run) == expected


def test_what_is_compared_tells_trainings_apart(tmp_path, expected):
    trained(tmp_path, At(7, lambda: True))
    for name in ("random", "global_random", "source"):
        state, _ = load_latest(tmp_path, SETTINGS)
        if name == "source":
            state[name]["random_before"] = state["random"]
        elif name == "random":
            state[name] = torch.Generator().manual_seed(5).get_state()
        else:
            state[name] = [torch.Generator().manual_seed(5).get_state()]
        run = ready()
        run.load_state_dict(state)
        assert result_of(train(run, source(), EPOCHS)) != expected, name


def test_checkpoints_change_nothing(tmp_path, expected):
    run, _ = trained(tmp_path, every_steps=1)
    assert result_of(run) == expected


# --------------------------------------------------------------------------- when, and which


def test_the_last_ones_are_kept(tmp_path):
    run, _ = trained(tmp_path / "new" / "folder")
    assert names(tmp_path / "new" / "folder") == [
        f"step-{step:08}.checkpoint" for step in (10, 15, 20)
    ]
    state, about = read_state(tmp_path / "new" / "folder" / "step-00000020.checkpoint")
    assert state["step"] == 20
    assert fingerprint_of(**state) == fingerprint_of(**run.state_dict())
    assert about["fingerprint"] == SETTINGS
    assert (about["step"], about["epoch"]) == (20, 4)
    assert set(about["versions"]) == {"sdv_wgangp", "torch", "python", "operators", "processor"}
    assert about["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"every_epochs": 2}, [10, 20]),
        ({"every_epochs": 3}, [15, 20]),
        ({"every_epochs": None}, [20]),
        ({"every_epochs": None, "every_steps": 6}, [6, 12, 18, 20]),
        ({"every_epochs": 2, "every_steps": 8}, [8, 10, 16, 20]),
        ({"every_epochs": None, "every_seconds": 1e-9}, list(range(1, 21))),
        ({"every_epochs": None, "every_seconds": 1e9}, [20]),
    ],
    ids=str,
)
def test_they_are_saved_when_it_is_asked_for(tmp_path, options, found):
    trained(tmp_path, keep=100, **options)
    assert steps(tmp_path) == found


def test_each_step_is_written_once(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(module, "write_state", lambda path, *_: written.append(path.name))
    trained(tmp_path, every_steps=5, every_seconds=1e-9)
    assert len(written) == len(set(written)) == 20


@pytest.mark.parametrize(
    ("scores", "options", "found"),
    [
        ((0.5, 0.9, 0.6, 0.7), {"keep": 1}, [10, 20]),
        ((0.5, 0.9, 0.9, 0.7), {"keep": 1}, [10, 20]),
        ((0.5, 0.6, 0.7, 0.8), {"keep": 1}, [20]),
        ((0.9, None, float("nan"), 0.7), {"keep": 1}, [5, 20]),
        ((None, 0.9, None, 0.3), {"keep": 1, "every_epochs": None}, [10, 20]),
        ((0.5, 0.9, 0.6, 0.7), {"keep": 1, "keep_best": False}, [20]),
    ],
    ids=str,
)
def test_the_best_one_is_kept(tmp_path, scores, options, found):
    trained(tmp_path, Scores(*scores), **options)
    assert steps(tmp_path) == found


def test_the_best_one_is_known_after_a_resumption(tmp_path):
    scores = Scores(0.9, 0.1, 0.2, 0.3)
    trained(tmp_path, scores, At(8, lambda: True), keep=1)
    assert steps(tmp_path) == [5, 8]
    run = ready()
    run.load_state_dict(load_latest(tmp_path, SETTINGS)[0])
    trained(tmp_path, scores, run=run, keep=1)
    assert steps(tmp_path) == [5, 20]


def test_one_that_could_not_be_written_is_not_the_best(tmp_path, monkeypatch):
    real = module.write_state

    def write(path, *rest):
        if "10" in path.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(path, *rest)

    monkeypatch.setattr(module, "write_state", write)
    with pytest.warns(UserWarning, match="Input/output error"):
        trained(tmp_path, Scores(0.5, 0.9, 0.6, 0.1), keep=1)
    assert steps(tmp_path) == [15, 20]


@pytest.mark.parametrize(
    "options",
    [
        *({"every_epochs": 0}, {"every_steps": 1.5}, {"every_seconds": 0}),
        *({"every_seconds": float("nan")}, {"keep": 0}, {"keep": True}, {"keep": None}),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_named(tmp_path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Checkpoints(tmp_path, **options)


def test_weights_are_exported_as_modules_take_them(tmp_path):
    run, _ = trained(tmp_path, export_weights=True, every_epochs=2, keep=1)
    assert names(tmp_path) == [
        *("critic-epoch-0002.safetensors", "critic-epoch-0004.safetensors"),
        *(f"generator-average-epoch-{epoch:04}.safetensors" for epoch in (2, 4)),
        *("generator-epoch-0002.safetensors", "generator-epoch-0004.safetensors"),
        "step-00000020.checkpoint",
    ]
    again = ready()
    for name, *players in (
        ("generator", run.generator, again.generator),
        ("critic", run.critics["critic"].player, again.critics["critic"].player),
    ):
        one, other = (player.module for player in players)
        other.load_state_dict(load_file(tmp_path / f"{name}-epoch-0004.safetensors"))
        assert fingerprint_of(**one.state_dict()) == fingerprint_of(**other.state_dict())
    other = again.generator.module
    other.load_state_dict(load_file(tmp_path / "generator-average-epoch-0004.safetensors"))
    averages = run.average.of(run.generator.module.parameters())
    for parameter, average, last in zip(
        other.parameters(), averages, run.generator.module.parameters(), strict=True
    ):
        assert torch.equal(parameter, average)
        assert not torch.equal(parameter, last)


# --------------------------------------------------------------------------- how it ends


def test_two_trainings_do_not_share_a_folder(tmp_path):
    """The second one is refused before it trains; the folder is free when the first has ended."""
    refused = []

    def second(log):
        with pytest.raises(InUseError, match="is in use by another training"):
            trained(tmp_path, run=ready())
        refused.append(log.epoch)

    trained(tmp_path, second)
    assert refused == list(range(EPOCHS))
    train(ready(), source(), 0, [Checkpoints(tmp_path / "other", fingerprint=SETTINGS)])
    trained(tmp_path / "other")


def test_an_error_of_a_callback_leaves_the_last_step(tmp_path):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, At(7, fail))
    assert steps(tmp_path) == [5, 7]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_leaves_the_last_step(tmp_path, number):
    if signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler):
        pytest.skip("the signal is handled by others")
    stop = At(7, lambda: os.kill(os.getpid(), number))
    if number == signal.SIGTERM:
        with pytest.raises(SystemExit) as caught:
            trained(tmp_path, stop)
        assert caught.value.code == 143
    else:
        assert trained(tmp_path, stop)[0].step == 7
    assert steps(tmp_path) == [5, 7]


def test_a_step_that_failed_is_not_saved(tmp_path):
    run = ready()
    working = run.generator.backward

    def backward(*arguments):
        if run.step == 7:
            raise RuntimeError("out of memory")
        return working(*arguments)

    run.generator.backward = backward
    with pytest.raises(RuntimeError, match="out of memory"):
        trained(tmp_path, run=run)
    assert steps(tmp_path) == [5]


def test_a_loss_that_is_no_number_is_not_saved(tmp_path):
    run = ready()

    def spoil():
        run.generator.parameters[0].data.fill_(torch.nan)

    with pytest.raises(NonFiniteLossError):
        trained(tmp_path, At(7, spoil), run=run)
    assert steps(tmp_path) == [5]


# --------------------------------------------------------------------------- failures to write


def fails(monkeypatch, number: int, calls: str = "open"):
    """Let every write fail; a list of what was tried."""
    tried = []

    def failing(*arguments, **options):
        tried.append(arguments)
        raise OSError(number, os.strerror(number))

    if calls == "open":
        monkeypatch.setattr(durable, "open", failing, raising=False)
    else:
        monkeypatch.setattr(durable.os, calls, failing)
    return tried


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("calls", ["open", "fsync", "replace"])
def test_a_failure_is_told_once_and_the_training_goes_on(
    tmp_path, monkeypatch, expected, number, calls
):
    tried = fails(monkeypatch, number, calls)
    with pytest.warns(UserWarning, match=os.strerror(number)) as caught:
        run, _ = trained(tmp_path, every_steps=1, export_weights=True)
    assert len(tried) >= 20
    assert len(caught) == 1
    assert str(tmp_path) in str(caught[0].message)
    assert result_of(run) == expected
    monkeypatch.undo()
    assert not names(tmp_path)


def test_another_failure_is_told_too(tmp_path, monkeypatch):
    fails(monkeypatch, errno.ENOSPC)
    later = At(12, lambda: fails(monkeypatch, errno.EROFS) and None)
    with pytest.warns(UserWarning) as caught:  # noqa: PT030
        trained(tmp_path, later)
    assert ["No space" in str(each.message) for each in caught] == [True, False]


def test_a_full_disk(tmp_path, expected):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be made here")
    try:
        with pytest.warns(UserWarning, match="No space left") as caught:
            run, _ = trained(disk, every_steps=1, keep=100)
        assert len(caught) == 1
        assert result_of(run) == expected
        assert not [name for name in names(disk) if not name.endswith(".checkpoint")]
        for path in checkpoints_in(disk):
            read_state(path)
        assert checkpoints_in(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("with_file", [False, True])
def test_a_folder_that_vanishes(tmp_path, expected, with_file):
    folder = tmp_path / "folder"

    def vanish():
        shutil.rmtree(folder)
        if with_file:
            folder.write_bytes(b"")

    with pytest.warns(UserWarning, match=str(folder)) as caught:
        run, _ = trained(folder, At(7, vanish))
    assert len(caught) == 1
    assert result_of(run) == expected


def test_a_folder_that_cannot_be_made_is_named_before_the_training(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    run = ready()
    with pytest.raises(ValueError, match=r"folder for checkpoints, .*file.below, cannot be made"):
        trained(tmp_path / "file" / "below", run=run)
    with pytest.raises(ValueError, match="cannot be made: File exists"):
        trained(tmp_path / "file", run=run)
    assert run.step == 0


def test_a_state_that_cannot_be_saved_is_named_before_the_training(tmp_path):
    run = ready()
    run.about["frame"] = object()
    with pytest.raises(CheckpointError, match=r"\['about'\]\['frame'\] is of builtins.object"):
        trained(tmp_path, run=run)
    assert run.step == 0
    with pytest.raises(TypeError, match="f is of builtins"):
        train(run, source(), 1, [Checkpoints(tmp_path, fingerprint={"f": print})])


# --------------------------------------------------------------------------- loading


@pytest.fixture
def folder(tmp_path):
    """With checkpoints after steps 10, 15 and 20."""
    trained(tmp_path)
    return tmp_path


def newest(folder):
    return folder / "step-00000020.checkpoint"


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "foreign"])
def test_a_damaged_one_is_skipped_with_a_warning_that_names_both(folder, damage, expected):
    data = newest(folder).read_bytes()
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    newest(folder).write_bytes(
        {"cut": data[:-9], "empty": b"", "changed": changed, "foreign": b"text" * 99}[damage]
    )
    with pytest.warns(UserWarning, match=r"step-00000020.*continues from .*step-00000015") as told:
        state, path = load_latest(folder, SETTINGS)
    assert len(told) == 1
    assert path.name == "step-00000015.checkpoint"
    run = ready()
    run.load_state_dict(state)
    with pytest.warns(UserWarning, match=r"step-00000020.*it is removed"):
        trained(folder, run=run, keep=1)
    assert result_of(run) == expected
    assert steps(folder) == [20]
    read_state(newest(folder))


def test_none_that_can_be_read_is_an_error(folder):
    for path in checkpoints_in(folder):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint .*step-00000020.*step-00000010"):
        load_latest(folder, SETTINGS)


def test_no_checkpoint_is_none(tmp_path):
    assert load_latest(tmp_path / "none", SETTINGS) is None
    (tmp_path / "step-1.checkpoint").write_bytes(b"")
    (tmp_path / ".step-00000001.checkpoint.host.1-0123abcd.partial").write_bytes(b"")
    assert load_latest(tmp_path, SETTINGS) is None
    with pytest.warns(UserWarning, match="holds no checkpoint .* begins anew"):
        assert Checkpoints(tmp_path).load() is None
    with pytest.raises(ValueError, match="is a file"):
        load_latest(tmp_path / "step-1.checkpoint", SETTINGS)


def test_the_callback_loads_its_own(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.fingerprint = SETTINGS
    assert checkpoints.load()["step"] == 20


def test_another_fingerprint_is_refused_by_name(folder):
    other = {"settings": {"lr": 0.0005, "pac": 2}, "table": "xyz"}
    with pytest.raises(CheckpointMismatchError) as caught:
        load_latest(folder, other)
    message = str(caught.value)
    for part in (
        *(str(newest(folder)), "settings.lr: checkpoint 0.001, now 0.0005"),
        *("settings.pac: checkpoint none, now 2", "table: checkpoint 'abc', now 'xyz'"),
        "or give another folder",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("package", ["sdv_wgangp", "torch"])
def test_another_version_is_refused_by_name(folder, monkeypatch, package):
    module = sys.modules[package]
    saved = module.__version__.split("+")[0]
    monkeypatch.setattr(module, "__version__", "9.9")
    install = f"{package.replace('_', '-')}=={saved}"
    remedy = rf"{package}: checkpoint {saved}, now 9\.9.*pip install '{install}'"
    with pytest.raises(CheckpointMismatchError, match=remedy):
        load_latest(folder, SETTINGS)
    with pytest.warns(UserWarning, match=f"not be continued bit for bit: {package}"):
        assert load_latest(folder, SETTINGS, exact=False)[0]["step"] == 20


def test_another_number_of_threads_is_refused_where_it_matters(folder, monkeypatch, tmp_path):
    trained(tmp_path / "any", any_threads=True)
    number = torch.get_num_threads()
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: number + 1)
    with pytest.raises(CheckpointMismatchError, match=rf"torch\.set_num_threads\({number}\)"):
        load_latest(folder, SETTINGS)
    assert load_latest(tmp_path / "any", SETTINGS)


def test_another_python_is_not_refused(folder, monkeypatch):
    monkeypatch.setattr(module.platform, "python_version", lambda: "3.99.0")
    assert load_latest(folder, SETTINGS)


@pytest.mark.parametrize("later", [-1, 1])
def test_another_format_version_is_refused_by_name(folder, monkeypatch, later):
    monkeypatch.setattr(StateFile, "FORMAT_VERSION", StateFile.FORMAT_VERSION + later)
    write_state(newest(folder), {}, {})
    monkeypatch.undo()
    with pytest.raises(CheckpointMismatchError, match=r"step-00000020.*format version"):
        load_latest(folder, SETTINGS)


def test_a_folder_of_another_training_is_refused_before_the_training(folder):
    run = ready()
    with pytest.raises(ValueError, match=r"step-00000010.*is at step 0: continue from that"):
        trained(folder, run=run)
    assert run.step == 0
    assert steps(folder) == [10, 15, 20]
    with pytest.raises(ValueError, match="step-00000020"):
        Checkpoints(folder).prepare(15)
    Checkpoints(folder).prepare(20)


# --------------------------------------------------------------------------- killed


KILLED = '''
import os, random, signal, sys, warnings
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import test_checkpoints as tests
from sdv_wgangp.persistence import durable
from sdv_wgangp.persistence.durable import InUseError

random = random.Random(0)
expected = tests.result_of(tests.train(tests.ready(), tests.source(), tests.EPOCHS))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Killer:
    """Kills the process in the n-th of all writes, or of all syncs and renamings."""

    def __init__(self, number, writes):
        self.left, self.writes = number, writes

    def now(self, write):
        self.left -= write == self.writes
        return self.left == 0 and write == self.writes

    def open(self, *arguments):
        file = open(*arguments)
        write = file.write

        class Writer:
            def __enter__(self):
                return self
            def __exit__(self, *_):
                file.close()
            def write(self, data, own=self):
                if own.now(True):
                    write(memoryview(data)[: len(data) // 2])
                    file.flush()
                    die()
                write(data)
            def __getattr__(self, name):
                return getattr(file, name)

        return Writer()

    def around(self, call):
        def killed(*arguments):
            if self.now(False):
                if random.random() < 0.5:
                    call(*arguments)
                die()
            return call(*arguments)
        return killed


def train(folder, killer):
    if killer is not None:
        durable.open = killer.open
        durable.os.fsync = killer.around(os.fsync)
        durable.os.replace = killer.around(os.replace)
    run = tests.ready()
    found = tests.load_latest(folder, tests.SETTINGS)
    if found is not None:
        run.load_state_dict(found[0])
    tests.trained(folder, run=run, every_steps=3)
    return run


# About 300 writes, and 24 syncs and renamings.
points = [(1, True), *((number, True) for number in random.sample(range(2, 300), 4))]
points += [(1, False), *((number, False) for number in random.sample(range(2, 24), 4))]
for number, writes in points:
    folder = os.path.join(sys.argv[2], f"{number} {writes}")
    child = os.fork()
    if child == 0:
        train(folder, Killer(number, writes))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed, (number, writes, status)
    for path in tests.checkpoints_in(folder):
        tests.read_state(path)
    assert sum(not name.startswith("step-") for name in os.listdir(folder)) <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tests.result_of(train(folder, None)) == expected, (number, writes)
    assert all(name.startswith("step-") for name in os.listdir(folder)), os.listdir(folder)
    print("killed", number)
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_process_that_is_killed_while_it_writes_leaves_whole_files(tmp_path):
    """And the training continues from them as if nothing had happened."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("killed") == 10


def test_weights_that_are_no_numbers_push_out_no_checkpoint(tmp_path):
    torch.manual_seed(0)
    run = run_of(nn.Linear(2, 2), nn.Linear(2, 1), objective("gan"), noise=2, seed=0)

    class Spoiling:
        def on_step(self, run):
            if run.step == 4:
                run.generator.parameters[0].data.fill_(torch.nan)

    checkpoints = Checkpoints(tmp_path, every_steps=1, every_epochs=None, keep=2)
    source = TensorSource(torch.randn(100, 2), batch_size=10)
    with (
        pytest.warns(UserWarning, match="is not a number"),
        pytest.raises(NonFiniteLossError),
    ):
        train(run, source, 1, [Spoiling(), checkpoints])
    names = [path.name for path in checkpoints_in(tmp_path)]
    assert names == ["step-00000002.checkpoint", "step-00000003.checkpoint"]


def test_a_renamed_checkpoint_is_passed_over(tmp_path):
    torch.manual_seed(0)
    run = run_of(nn.Linear(2, 2), nn.Linear(2, 1), objective("gan"), noise=2, seed=0)
    checkpoints = Checkpoints(tmp_path)
    train(run, TensorSource(torch.zeros(20, 2), batch_size=10), 2, [checkpoints])
    first, _ = checkpoints_in(tmp_path)
    shutil.copy(first, tmp_path / "step-00000099.checkpoint")
    (tmp_path / "step-00000100.checkpoint").mkdir()
    with pytest.warns(UserWarning, match="copied or renamed"):
        assert checkpoints.load()["step"] == 4
