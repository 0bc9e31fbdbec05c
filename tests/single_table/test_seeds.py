"""Seeds of sampling, keys that depend on them, processes that are forked, and threads."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rdt.transformers import RegexGenerator
from sdv.errors import NotFittedError, SynthesizerInputError
from sdv.sampling import Condition
from shared_tables import PEOPLE, describe, fit, people, rows_of

from sdv_wgangp import cli, load_model
from sdv_wgangp.synthesizers.keys import Pattern, key_start

COLUMNS = PEOPLE.to_dict()["tables"]["people"]["columns"]
CODES = "[A-F][0-9]{2}-[a-z]{3}"


@pytest.fixture(scope="module")
def synthesizer():
    frame = people().assign(
        code=[f"A{i % 100:02}-ab{chr(97 + i // 100)}" for i in range(300)],
        ticket=[f"t{i}" for i in range(300)],
    )
    columns = COLUMNS | {"code": {"sdtype": "id", "regex_format": CODES}, "ticket": "id"}
    table = {"primary_key": "id", "alternate_keys": ["code", "ticket"]}
    return fit(describe(columns, **table), frame)


def seeded(synthesizer, seed: int, rows: int = 200) -> pd.DataFrame:
    synthesizer.set_sampling_seed(seed)
    return rows_of(synthesizer.sample(rows))


def test_a_seed_repeats_and_another_one_differs_in_rows_and_keys(synthesizer):
    first, again, other = (seeded(synthesizer, seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(first, again)
    for name in first:
        assert not first[name].equals(other[name]), f"{name} does not depend on the seed"


def test_keys_of_workers_do_not_collide(synthesizer):
    parts = pd.concat([seeded(synthesizer, seed, 400) for seed in range(12)])
    for key in ("id", "code", "ticket"):
        assert parts[key].is_unique, key
    assert parts["code"].str.fullmatch(CODES).all()
    assert parts["id"].between(0, 2**24).all()
    assert parts["ticket"].str.fullmatch("sdv-id-[a-zA-Z]{6}").all()


def test_a_later_call_goes_on_with_other_keys(synthesizer):
    first = seeded(synthesizer, 3)
    second = rows_of(synthesizer.sample(200))
    for key in ("id", "code", "ticket"):
        assert not set(first[key]) & set(second[key])


def test_reset_sampling_goes_back_to_the_fixed_start(synthesizer):
    synthesizer.reset_sampling()
    start = rows_of(synthesizer.sample(50))
    seeded(synthesizer, 1)
    synthesizer.reset_sampling()
    pd.testing.assert_frame_equal(rows_of(synthesizer.sample(50)), start)


def test_conditions_and_known_columns_follow_the_seed(synthesizer):
    known = pd.DataFrame({"group": ["a", "b", "c"] * 5})
    drawn = []
    for seed in (1, 1, 2):
        synthesizer.set_sampling_seed(seed)
        conditioned = synthesizer.sample_from_conditions([Condition({"group": "a"}, 15)])
        remaining = synthesizer.sample_remaining_columns(known.copy())
        drawn.append(pd.concat([rows_of(conditioned), rows_of(remaining)]))
    pd.testing.assert_frame_equal(drawn[0], drawn[1])
    assert not set(drawn[0]["id"]) & set(drawn[2]["id"])
    assert not drawn[0]["income"].equals(drawn[2]["income"])


def test_a_pickle_goes_on_where_it_was_and_a_model_file_at_the_fixed_start(synthesizer, tmp_path):
    synthesizer.reset_sampling()
    start = rows_of(synthesizer.sample(30))
    seeded(synthesizer, 4, 20)
    copy = pickle.loads(pickle.dumps(synthesizer))
    expected = rows_of(synthesizer.sample(30))
    found = rows_of(copy.sample(30))
    for key in ("code", "income", "group"):
        pd.testing.assert_series_equal(found[key], expected[key])
    synthesizer.save_model(tmp_path / "m.safetensors")
    pd.testing.assert_frame_equal(
        rows_of(load_model(tmp_path / "m.safetensors").sample(30)), start
    )


def test_a_fit_begins_anew(synthesizer):
    fresh = fit(PEOPLE, people())
    start = rows_of(fresh.sample(20))
    fresh.set_sampling_seed(9)
    again = fit(PEOPLE, people())
    again.set_sampling_seed(9)
    again.fit({"people": people()} if isinstance(again.sample(1), dict) else people())
    pd.testing.assert_frame_equal(rows_of(again.sample(20)), start)


@pytest.mark.parametrize("seed", [-1, 0.5, None, "a"])
def test_what_is_no_seed(synthesizer, seed):
    with pytest.raises(SynthesizerInputError, match="seed must be a whole number of at least 0"):
        synthesizer.set_sampling_seed(seed)


def test_before_the_fit():
    from sdv_wgangp.single_table import WGANGPMFSSynthesizer

    with pytest.raises(NotFittedError, match="fit first"):
        WGANGPMFSSynthesizer(PEOPLE).set_sampling_seed(1)


FORKED = """
import multiprocessing, pickle, sys
import sdv_wgangp
from sdv_wgangp.synthesizers.sdv_versions import as_frame
model = sdv_wgangp.load_model(sys.argv[1])
def draw(seed):
    if seed is not None:
        model.set_sampling_seed(seed)
    return as_frame(model.sample(40))
context = multiprocessing.get_context("fork")
found = []
for _ in ("before the first sample of the process", "after it"):
    parts = []
    for seed in (None, None, 7, 7):
        with context.Pool(1) as pool:
            parts.append(pool.apply(draw, (seed,)))
    found.append([*parts, draw(None)])
pickle.dump(found, open(sys.argv[2], "wb"))
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork"
)
def test_forked_workers_differ_unless_they_are_seeded(synthesizer, tmp_path):
    model, out = tmp_path / "m.safetensors", tmp_path / "parts.pkl"
    synthesizer.save_model(model)
    command = [sys.executable, "-c", FORKED, str(model), str(out)]
    subprocess.run(command, check=True, timeout=300)
    synthesizer.reset_sampling()
    for first, second, seven, again, own in pickle.loads(out.read_bytes()):
        for name in ("id", "code", "income"):
            assert not first[name].equals(second[name]), name
            assert not first[name].equals(own[name]), name
        pd.testing.assert_frame_equal(seven, again)
        # The process itself is as it ever was.
        pd.testing.assert_frame_equal(own, rows_of(synthesizer.sample(40)))


def test_threads_draw_under_conditions_at_once(synthesizer):
    synthesizer.reset_sampling()
    drawn, failed = [], []

    def draw(group):
        try:
            for _ in range(4):
                conditions = [Condition({"group": group}, 25), Condition({"age": None}, 2)]
                drawn.append(rows_of(synthesizer.sample_from_conditions(conditions)))
                known = pd.DataFrame({"group": [group] * 5})
                drawn.append(rows_of(synthesizer.sample_remaining_columns(known)))
                drawn.append(rows_of(synthesizer.sample(25)))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=draw, args=(group,)) for group in "abcabc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    rows = pd.concat(drawn)
    assert len(rows) == 6 * 4 * (27 + 5 + 25)
    for key in ("id", "code", "ticket"):
        assert rows[key].is_unique, key


@pytest.mark.parametrize(
    "regex",
    [CODES, r"\d{3}", "ID_[A-Z]{2}", r"\w", "[0-9a-f]{2,3}", "(ab){1,2}[xy]", r"[\W]x"],
)
def test_patterns_have_the_strings_of_rdt(regex):
    generator = RegexGenerator(regex)
    generator.reset_randomization()
    count = min(int(generator.generator_size), 3000)
    strings = Pattern(regex)
    assert strings.size == int(generator.generator_size)
    theirs = {next(generator.generator) for _ in range(count)}
    if count == strings.size:
        assert set(strings) == theirs
        assert len(set(strings)) == strings.size
    assert strings[-1] == strings[strings.size - 1]
    with pytest.raises(IndexError):
        strings[strings.size]


@pytest.mark.parametrize("size", [10, 1000, 2**24, 10**12, 52**6])
@pytest.mark.parametrize("workers", [2, 5, 64])
def test_seeds_in_a_row_keep_their_distance(size, workers):
    starts = np.sort([key_start(seed, size) for seed in range(workers)])
    gaps = [b - a for a, b in pairwise([*starts, starts[0] + size])]
    assert min(gaps) >= size // (2.7 * workers) - workers


def test_parts_that_the_command_line_draws_have_keys_of_their_own(synthesizer, tmp_path):
    synthesizer.save_model(tmp_path / "m.safetensors")
    parts = []
    for seed in ("1", "2", "1"):
        out = str(tmp_path / f"{len(parts)}.csv")
        sample = ["sample", str(tmp_path / "m.safetensors"), "--rows", "100", "--output", out]
        assert cli.main([*sample, "--seed", seed, "--quiet"]) == 0
        parts.append(pd.read_csv(out))
    pd.testing.assert_frame_equal(parts[0], parts[2])
    for key in ("id", "code", "ticket"):
        assert not set(parts[0][key]) & set(parts[1][key])
