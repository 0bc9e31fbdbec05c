"""What the quality benchmark compares: how each synthesizer is fitted on a `Dataset` and sampled.

A recipe is one fit. It may give more than one sample: ours is fitted once and sampled with and
without calibration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from baselines import ChowLiuTree, IndependentColumns
from datasets import TABLE, Dataset

Sampler = Callable[[], pd.DataFrame]


@dataclass(frozen=True)
class Fitted:
    """A fitted recipe.

    Args:
        samplers: one for each of its outputs.
        parameters: for the record.
        save: writes what `Recipe.load` reads, where there is such.
        recalibrate: calibrates it again, with the code of today and a seed, where it can be.
    """

    samplers: dict[str, Sampler]
    parameters: dict
    save: Callable[[Path], None] | None = None
    recalibrate: Callable[[int], None] | None = None


@dataclass(frozen=True)
class Recipe:
    """One fit of the benchmark.

    Args:
        fit: takes the dataset, the seed and the number of epochs (``None``: the default).
        outputs: the names under which its samples are stored and scored.
        random: whether another seed gives another sample; if not, only seed 0 is run.
        has_epochs: whether ``--epochs`` applies to it.
        ours: whether it depends on the code of this repository's package.
        load: reads a saved fit, to sample from it with the code of today.
    """

    fit: Callable[[Dataset, int, int | None], Fitted]
    outputs: tuple[str, ...]
    random: bool = True
    has_epochs: bool = False
    ours: bool = False
    load: Callable[[Path, Dataset], Fitted] | None = None


def sdv_frames(frame: pd.DataFrame) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """A table as SDV takes it: a dictionary of frames from 2.0 on, a frame before."""
    import sdv

    return {TABLE: frame} if int(sdv.__version__.split(".")[0]) >= 2 else frame


def sdv_sample(synthesizer, rows: int) -> pd.DataFrame:
    sample = synthesizer.sample(rows)
    return sample[TABLE] if isinstance(sample, dict) else sample


def _sdv_metadata(dataset: Dataset):
    from sdv.metadata import Metadata

    return Metadata.load_from_dict(dataset.metadata)


def _seed_globally(seed: int) -> None:
    """SDV's own synthesizers take no seed: they fit from numpy's and torch's global state."""
    import random

    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _fitted_sdv(class_name: str, dataset: Dataset, seed: int, epochs: int | None):
    """One of SDV's single-table synthesizers with its default parameters, fitted."""
    from sdv import single_table

    options = {} if epochs is None else {"epochs": epochs}
    synthesizer = getattr(single_table, class_name)(_sdv_metadata(dataset), **options)
    _seed_globally(seed)
    synthesizer.fit(sdv_frames(dataset.train))
    return synthesizer


def fit_sdv(class_name: str, output: str) -> Callable[[Dataset, int, int | None], Fitted]:
    """A fit function for one of SDV's single-table synthesizers with its default parameters."""

    def fit(dataset: Dataset, seed: int, epochs: int | None) -> Fitted:
        synthesizer = _fitted_sdv(class_name, dataset, seed, epochs)
        rows = len(dataset.train)
        return Fitted(
            {output: lambda: sdv_sample(synthesizer, rows)}, synthesizer.get_parameters()
        )

    return fit


def fit_calibrated_ctgan(dataset: Dataset, seed: int, epochs: int | None) -> Fitted:
    """CTGAN with its defaults, its samples calibrated as ours are."""
    synthesizer = _fitted_sdv("CTGANSynthesizer", dataset, seed, epochs)

    def sample() -> pd.DataFrame:
        return calibrated(dataset, lambda rows: sdv_sample(synthesizer, rows), seed)

    return Fitted({"ctgan-calibrated": sample}, synthesizer.get_parameters())


def calibrated(dataset: Dataset, draw: Callable[[int], pd.DataFrame], seed: int) -> pd.DataFrame:
    """As many rows as the training table has, of any generator, calibrated as ours are.

    Args:
        dataset: Its training rows are what calibration may look at.
        draw: Makes that many rows.
        seed: Of the choice among them.
    """
    import torch

    from sdv_wgangp.calibration.calibrate import calibrate
    from sdv_wgangp.calibration.extremes import reach_extremes
    from sdv_wgangp.encoding.table import TableEncoder

    numeric = [
        name for name, sdtype in dataset.columns.items() if sdtype in ("numerical", "datetime")
    ]
    encoder = TableEncoder([name for name in dataset.train if name not in numeric])
    encoder.fit(dataset.train)
    known = {name: np.sort(dataset.train[name].dropna().unique()) for name in numeric}
    numpy_random, random = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def generate(count: int):
        frame = draw(max(count, 1)).iloc[:count]
        for name in numeric:
            frame[name] = _nearest(frame[name], known[name])
        return encoder.encode(frame, numpy_random)

    real = encoder.encode(dataset.train, numpy_random)
    calibration = calibrate(real, encoder, generate, random)
    table = calibration.draw(len(dataset.train), generate, random)
    reach_extremes(table, encoder, random)
    return encoder.decode(table)


def _nearest(values: pd.Series, known: np.ndarray) -> pd.Series:
    """Values between the known ones, ascending, become the nearest of them; NaN stays."""
    if not len(known):
        return values
    above = np.searchsorted(known, values).clip(1, len(known) - 1)
    lower, upper = known[above - 1], known[above]
    return values.mask(values.notna(), np.where(values - lower <= upper - values, lower, upper))


def load_synthesizer(path: Path):
    from sdv.utils import load_synthesizer

    return load_synthesizer(path)


def new_wgangp(dataset: Dataset, seed: int, epochs: int | None, **options):
    """Ours, with default parameters but for the options, not fitted yet."""
    from sdv_wgangp.single_table import WGANGPMFSSynthesizer

    if epochs is not None:
        options["epochs"] = epochs
    return WGANGPMFSSynthesizer(_sdv_metadata(dataset), random_state=seed, **options)


def calibrate_again(
    synthesizer, dataset: Dataset, seed: int, options: Mapping[str, float] | None = None
) -> None:
    """Calibrate a fit of ours with the code of today: training is long, calibration is short.

    Args:
        options: `CalibrationOptions`, in the place of those that it was fitted with.
    """
    import torch

    from sdv_wgangp.calibration.options import CalibrationOptions

    model = synthesizer._model
    if options is not None:
        model.calibration_options = CalibrationOptions.of(options, "options")
    real = model.encoder.encode(dataset.train, np.random.default_rng(seed))
    model._calibrate(real, torch.Generator(model._device).manual_seed(seed))


def wgangp_recipe(output: str, **options) -> Recipe:
    """Ours, fitted with these options, sampled as `output` and without calibration.

    Args:
        output: the name of the calibrated sample.
        options: of the synthesizer.
    """
    uncalibrated = f"{output}-uncalibrated"

    def fit(dataset: Dataset, seed: int, epochs: int | None) -> Fitted:
        synthesizer = new_wgangp(dataset, seed, epochs, **options)
        synthesizer.fit(sdv_frames(dataset.train))
        return fitted(synthesizer, dataset)

    def load(path: Path, dataset: Dataset) -> Fitted:
        return fitted(load_synthesizer(path), dataset)

    def fitted(synthesizer, dataset: Dataset) -> Fitted:
        model = synthesizer._model
        if model.calibrated is not True:
            raise RuntimeError("the fit is not calibrated: the two samples would be one")

        def recalibrate(seed: int) -> None:
            calibrate_again(synthesizer, dataset, seed)

        def sample(calibrated: bool) -> pd.DataFrame:
            model.calibrated = calibrated
            synthesizer.reset_sampling()
            try:
                return sdv_sample(synthesizer, len(dataset.train))
            finally:
                model.calibrated = True

        return Fitted(
            {output: lambda: sample(True), uncalibrated: lambda: sample(False)},
            synthesizer.get_parameters(),
            synthesizer.save,
            recalibrate,
        )

    return Recipe(fit, (output, uncalibrated), has_epochs=True, ours=True, load=load)


def fit_independent(dataset: Dataset, seed: int, epochs: int | None) -> Fitted:
    model = IndependentColumns().fit(dataset.train, dataset.columns)
    return Fitted({"independent": lambda: model.sample(len(dataset.train), seed)}, {})


def fit_chow_liu(dataset: Dataset, seed: int, epochs: int | None) -> Fitted:
    model = ChowLiuTree().fit(dataset.train, dataset.columns)
    return Fitted(
        {"chow_liu": lambda: model.sample(len(dataset.train), seed)},
        {"max_bins": model.max_bins, "smoothing": model.smoothing},
    )


def fit_real(dataset: Dataset, seed: int, epochs: int | None) -> Fitted:
    """The ceiling: held-out rows of the table itself in the place of a sample."""
    return Fitted({"real": lambda: dataset.test}, {})


RECIPES = {
    "real": Recipe(fit_real, ("real",), random=False),
    "wgangp": wgangp_recipe("wgangp"),
    "ctgan": Recipe(fit_sdv("CTGANSynthesizer", "ctgan"), ("ctgan",), has_epochs=True),
    "ctgan-calibrated": Recipe(
        fit_calibrated_ctgan, ("ctgan-calibrated",), has_epochs=True, ours=True
    ),
    "tvae": Recipe(fit_sdv("TVAESynthesizer", "tvae"), ("tvae",), has_epochs=True),
    "copulagan": Recipe(
        fit_sdv("CopulaGANSynthesizer", "copulagan"), ("copulagan",), has_epochs=True
    ),
    # SDV samples from a fixed seed, and this fit has nothing random in it.
    "gaussian_copula": Recipe(
        fit_sdv("GaussianCopulaSynthesizer", "gaussian_copula"), ("gaussian_copula",), random=False
    ),
    "independent": Recipe(fit_independent, ("independent",)),
    "chow_liu": Recipe(fit_chow_liu, ("chow_liu",)),
}
NO_RANKS = {"association_bins_to_rank": 2.0, "association_atoms_to_rank": 2.0}
# Ours with one thing changed each: nothing for "vanilla", the meta-feature objective for "mfs".
ABLATION = {
    "vanilla": {"meta_features": None},
    "mfs": {"meta_features": "auto"},
    # The same statistics, compared in other ways than by tracked averages.
    **{
        f"mfs-{distance}": {"meta_features": "auto", "meta_feature_distance": distance}
        for distance in ("product", "transport", "sinkhorn", "sliced", "wasserstein_1d")
    },
    # As many steps for every table, as the first releases made.
    "long": {"epochs": 200, "batch_size": 500, "ema_decay": 0.999},
    "batch-1000": {"batch_size": 1000},
    "width-512": {"generator_dim": (512, 512), "discriminator_dim": (512, 512)},
    "one-critic-step": {"discriminator_steps": 1},
    "no-average": {"ema_decay": 0.0},
    "no-conditions": {"conditional_share": 0.0},
    "early-stopping": {"early_stopping": True},
    # Columns that depend strongly on others are cut into bins (20 or 50) like the others are.
    "bins-20": {"encoding_options": NO_RANKS},
    "bins-50": {"encoding_options": NO_RANKS | {"bins": 50}},
}
for name, options in ABLATION.items():
    RECIPES[name] = wgangp_recipe(name, **options)
SYNTHESIZERS = {output: name for name, recipe in RECIPES.items() for output in recipe.outputs}


def source_digest() -> str | None:
    """A digest of the package's own Python sources, or ``None`` where it is not installed.

    Kept with each fit of ours, so that a stored sample of other code is noticed. Reporting and
    the command line cannot change a sample and are left out.
    """
    from importlib.util import find_spec

    spec = find_spec("sdv_wgangp")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(spec.submodule_search_locations[0])
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if place.parts[0] not in ("reporting", "cli"):
            digest.update(place.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
