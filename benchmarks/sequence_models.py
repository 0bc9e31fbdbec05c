"""What the benchmark of sequences compares: how each is fitted and sampled."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import synthesizers
from sequence_datasets import SequenceDataset

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Fitted:
    """A fitted synthesizer: `sample` draws as many sequences as it was trained on."""

    sample: Callable[[], pd.DataFrame]
    parameters: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """One synthesizer of the benchmark.

    Args:
        fit: takes the data, the seed and the settings of the command line.
        random: whether another seed gives another sample; if not, only seed 0 is run.
        ours: whether it depends on the code of this repository's package.
    """

    fit: Callable[[SequenceDataset, int, Settings], Fitted]
    random: bool = True
    ours: bool = False


@dataclass(frozen=True)
class Settings:
    """Of the command line.

    Args:
        epochs: instead of the default of PAR and ours.
        mostlyai_python: the interpreter of an environment that has ``mostlyai-engine``.
        minutes: that TabularARGN may train.
    """

    epochs: int | None = None
    mostlyai_python: Path | None = None
    minutes: float = 5.0


def _panel(dataset: SequenceDataset):
    from sdv_wgangp.reporting.scores.sequences import read_panels

    tables = {"train": dataset.train}
    return read_panels(
        tables, dataset.key, dataset.index, dataset.context, dataset.columns
    )["train"]  # fmt: skip


def fit_independent(dataset: SequenceDataset, seed: int, settings: Settings) -> Fitted:
    from sdv_wgangp.reporting.scores.sequences import independent_rows

    panel = _panel(dataset)
    return Fitted(lambda: independent_rows(panel, dataset.key, seed=seed))


def fit_copula(dataset: SequenceDataset, seed: int, settings: Settings) -> Fitted:
    """Fitting is part of the sampling: there is no model to keep."""
    from sdv_wgangp.reporting.scores.sequences import copula_over_time

    panel = _panel(dataset)
    return Fitted(lambda: copula_over_time(panel, dataset.key, seed=seed))


def fit_real(dataset: SequenceDataset, seed: int, settings: Settings) -> Fitted:
    """The ceiling: held-out sequences in the place of a sample."""
    if dataset.test is None:
        # Scored as one half of the training windows against the other.
        return Fitted(lambda: dataset.train)
    return Fitted(lambda: dataset.test)


def _fit_sdv(make: Callable, dataset: SequenceDataset, seed: int, options: dict) -> Fitted:
    from sdv.metadata import Metadata

    metadata = Metadata.load_from_dict(dataset.metadata)
    synthesizer = make(metadata, context_columns=list(dataset.context), **options)
    synthesizers._seed_globally(seed)
    synthesizer.fit(synthesizers.sdv_frames(dataset.train))
    count = dataset.train[dataset.key].nunique()
    draw = getattr(synthesizer, "sample_sequences", synthesizer.sample)

    def sample() -> pd.DataFrame:
        drawn = draw(count, dataset.steps)
        return next(iter(drawn.values())) if isinstance(drawn, dict) else drawn

    return Fitted(sample, synthesizer.get_parameters())


def fit_par(dataset: SequenceDataset, seed: int, settings: Settings) -> Fitted:
    from sdv.sequential import PARSynthesizer

    options = {} if settings.epochs is None else {"epochs": settings.epochs}
    return _fit_sdv(PARSynthesizer, dataset, seed, {"cuda": False, **options})


def fit_doppelganger(dataset: SequenceDataset, seed: int, settings: Settings) -> Fitted:
    try:
        from sdv_wgangp.sequential import DoppelGANgerSynthesizer
    except ImportError as error:
        raise SystemExit(
            f"this version of the package has no DoppelGANgerSynthesizer: {error}"
        ) from error
    options = {} if settings.epochs is None else {"epochs": settings.epochs}
    return _fit_sdv(DoppelGANgerSynthesizer, dataset, seed, {"random_state": seed, **options})


def fit_tabularargn(dataset: SequenceDataset, seed: int, settings: Settings) -> Fitted:
    """TabularARGN (Tiwald et al. 2025) of ``mostlyai-engine``, in an environment of its own."""
    if settings.mostlyai_python is None:
        raise SystemExit("tabularargn needs --mostlyai-python, an environment's interpreter")
    folder = tempfile.TemporaryDirectory()
    place = Path(folder.name)
    dataset.train.to_parquet(place / "train.parquet")
    command = [str(settings.mostlyai_python), str(HERE / "rivals" / "tabularargn.py"), str(place)]
    command += ["--key", dataset.key, "--minutes", str(settings.minutes), "--seed", str(seed)]
    command += ["--context", ",".join(dataset.context)]
    subprocess.run([*command, "fit"], check=True)

    def sample() -> pd.DataFrame:
        with folder:
            subprocess.run([*command, "sample"], check=True)
            drawn = pd.read_parquet(place / "synthetic.parquet")
        return drawn[list(dataset.train)]

    return Fitted(sample, {"minutes": settings.minutes})


RECIPES = {
    "real": Recipe(fit_real, random=False),
    "independent_rows": Recipe(fit_independent),
    "copula_over_time": Recipe(fit_copula),
    "par": Recipe(fit_par),
    "tabularargn": Recipe(fit_tabularargn),
    "doppelganger": Recipe(fit_doppelganger, ours=True),
}
