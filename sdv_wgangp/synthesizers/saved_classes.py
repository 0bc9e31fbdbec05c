"""The classes of which a model file may hold objects: ours, SDV's, RDT's, and nothing else."""

from __future__ import annotations

from functools import cache
from typing import Any

import copulas.univariate
import numpy as np
import rdt
import rdt.transformers
import sdv.cag
import torch
from rdt.transformers.base import BaseTransformer
from rdt.transformers.null import NullTransformer
from sdv.data_processing.data_processor import DataProcessor
from sdv.data_processing.datetime_formatter import DatetimeFormatter
from sdv.data_processing.numerical_formatter import NumericalFormatter
from sdv.metadata import Metadata
from sklearn.mixture import BayesianGaussianMixture

from sdv_wgangp.calibration.calibrate import Calibration
from sdv_wgangp.calibration.cells import Cells
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.calibration.raking import Raking
from sdv_wgangp.calibration.ratio import DensityRatio, RefinedRatio
from sdv_wgangp.calibration.values import BinMap, RareAtoms, ValueCalibration
from sdv_wgangp.encoding.axis import RankAxis
from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.derived import DerivedColumn
from sdv_wgangp.encoding.grid import DateGrid, Grid
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.encoding.paths import Channel, PathEncoder
from sdv_wgangp.encoding.quantiles import QuantileMap
from sdv_wgangp.encoding.relations import Relation
from sdv_wgangp.encoding.relations.holding import Held, HeldRelations, ValuesOf
from sdv_wgangp.encoding.sequences import SequenceAssembler
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.models.heads import HeadModel
from sdv_wgangp.models.paths import GaussianProcess, PathModel, PathSettings
from sdv_wgangp.models.sequences import SequenceModel, SequenceSettings
from sdv_wgangp.models.steps import StepModel, StepSettings
from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.persistence.container import ModelFileError
from sdv_wgangp.persistence.graph import Kind, check_attribute
from sdv_wgangp.synthesizers.transformers import NumberFormatter, TimestampEncoder
from sdv_wgangp.training.log import EpochLog
from sdv_wgangp.training.settings import TrainingSettings

PLAIN = (
    *(RankAxis, CategoricalColumn, NumericColumn, DerivedColumn, QuantileMap, TableEncoder),
    *(Grid, DateGrid),
    *(Relation, Held, HeldRelations, ValuesOf),
    *(Calibration, Cells, DensityRatio, RefinedRatio, Raking),
    *(ValueCalibration, BinMap, RareAtoms),
    *(TrainingSettings, EpochLog),
    *(SequenceAssembler, PathEncoder, Channel, GaussianProcess, HeadModel),
    *(SequenceSettings, StepSettings, PathSettings),
    *(DataProcessor, DatetimeFormatter, NumericalFormatter, NumberFormatter),
    *(rdt.HyperTransformer, NullTransformer),
    *(sdv.cag.FixedCombinations, sdv.cag.FixedIncrements, sdv.cag.Inequality),
    *(sdv.cag.OneHotEncoding, sdv.cag.Range),
    BayesianGaussianMixture,  # of RDT's ClusterBasedNormalizer
)
# Random states, and what is made from them and from the parameters when sampling begins anew.
REMADE = frozenset({"random_states", "faker", "generator"})


_registered: list[Kind] = []


def register(cls: type, without: frozenset[str] = frozenset()) -> None:
    """Let model files hold objects of a class that knows this module.

    Args:
        cls: The class itself; not its subclasses.
        without: Attributes that are not saved.
    """

    def saved_part(saved: Any) -> dict[str, Any]:
        return {name: each for name, each in vars(saved).items() if name not in without}

    _registered.append(Kind(cls, saved_part))


def kinds() -> dict[str, Kind]:
    """The allow-list, by the names that the files use."""
    return {
        f"{kind.cls.__module__.split('.')[0]}.{kind.cls.__name__}": kind
        for kind in (*_known(), *_registered)
    }


@cache
def _known() -> tuple[Kind, ...]:
    found = [Kind(cls) for cls in PLAIN]
    # By their constructors, which check them.
    found += [
        Kind(EncodingOptions, make=lambda state: EncodingOptions(**state)),
        Kind(CalibrationOptions, make=lambda state: CalibrationOptions(**state)),
    ]
    found.append(Kind(TabularModel, _model_state, _make_model))
    found += [Kind(cls, _network_state, _network_maker(cls)) for cls in (PathModel, StepModel)]
    found.append(Kind(SequenceModel, SequenceModel.__getstate__, _make_sequences))
    metadata = Metadata()
    metadata.add_table("table")
    found += [Kind(Metadata), Kind(type(metadata.tables["table"]))]
    found += [Kind(cls) for cls in _members(copulas.univariate, copulas.univariate.Univariate)]
    for cls in _members(rdt.transformers, BaseTransformer):
        found.append(Kind(cls, _transformer_state, _transformer_maker(cls)))
    found.append(Kind(TimestampEncoder, _transformer_state, _transformer_maker(TimestampEncoder)))
    mapping = getattr(rdt.transformers.utils, "WarnDict", None)  # RDT 1 only
    if mapping is not None:
        found.append(Kind(mapping, _pairs_of, lambda state: mapping(state["pairs"])))
    return tuple(found)


def _members(module: Any, base: type) -> list[type]:
    """The subclasses of ``base`` in a module that come from its own package, not an add-on's."""
    package = base.__module__.split(".")[0]
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, base)
        and each.__module__.split(".")[0] == package
    ]


def _pairs_of(mapping: dict) -> dict[str, Any]:
    return {"pairs": dict(mapping)}


# --------------------------------------------------------------------------- transformers of RDT


def _transformer_state(transformer: BaseTransformer) -> dict[str, Any]:
    state = {name: each for name, each in vars(transformer).items() if name not in REMADE}
    return state | {"random_seed": transformer.random_seed}


def _transformer_maker(cls: type[BaseTransformer]):
    """Makes fitted transformers of one class, at the beginning of their random numbers."""

    def make(state: dict[str, Any]) -> BaseTransformer:
        for name in state:
            check_attribute(cls, name)
        restored = object.__new__(cls)
        restored.__dict__.update(state)
        if isinstance(restored, rdt.transformers.AnonymizedFaker):
            # The name of a method that sampling will call.
            if restored.function_name.startswith("_"):
                raise ValueError(f"an anonymised column from {restored.function_name!r}")
            restored.check_provider_function(restored.provider_name, restored.function_name)
        BaseTransformer.reset_randomization(restored)  # not all of them call it
        restored.reset_randomization()
        return restored

    return make


# --------------------------------------------------------------------------- our model


def _model_state(model: TabularModel) -> dict[str, Any]:
    state = model.__getstate__()
    if "_calibration" not in state:
        raise ModelFileError(
            "the model is not fitted yet: save it after `fit`; what a training has come to is "
            "saved on the way by `set_checkpoints`"
        )
    for name in ("layout", "_device", "_random", "_players"):
        del state[name]
    state["generator"] = dict(state["generator"].state_dict())
    return state


def _make_model(state: dict[str, Any]) -> TabularModel:
    """The model of a state; whatever follows from the columns is computed anew."""
    model = object.__new__(TabularModel)
    weights = state.pop("generator")
    encoder = state["encoder"]
    _check_columns(encoder)
    _check_calibration(state["_calibration"], encoder)
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise ValueError("weights that are not finite")
    model.__dict__.update(state)
    model.layout = Layout.of(encoder)
    generator = model.new_generator(torch.Generator().manual_seed(0))
    generator.load_state_dict(weights)
    model.__setstate__(
        {"generator": generator.eval().requires_grad_(False), "_random": ("", None)}
    )
    return model


def _network_state(model: PathModel | StepModel) -> dict[str, Any]:
    state = model.__getstate__()
    return state | {"network": dict(state["network"].state_dict())}


def _network_maker(cls: type[PathModel] | type[StepModel]):
    """Makes models of one class; their networks follow from settings and encoding."""

    def make(state: dict[str, Any]) -> PathModel | StepModel:
        weights = state.pop("network")
        if not all(torch.isfinite(weight).all() for weight in weights.values()):
            raise ValueError("weights that are not finite")
        for name in state:
            check_attribute(cls, name)
        model = object.__new__(cls)
        for name in ("encoder", "head_encoder"):
            if isinstance(state.get(name), TableEncoder):
                _check_columns(state[name])
        model.__setstate__(state)
        network = model.new_network()
        network.load_state_dict(weights)
        model.network = network.eval().requires_grad_(False)
        return model

    return make


def _make_sequences(state: dict[str, Any]) -> SequenceModel:
    for name in state:
        check_attribute(SequenceModel, name)
    model = object.__new__(SequenceModel)
    model.__setstate__(state)
    return model


def _check_columns(encoder: TableEncoder) -> None:
    """Refuse columns whose parts do not fit together."""
    modelled = encoder.columns
    for column in [*modelled, *(derived.column for derived in encoder.derived)]:
        if isinstance(column, NumericColumn):
            codes = len(column.atoms) + column.bins
        else:
            codes = len(column.levels)
        missing = column.missing_code is not None
        copies = column.copies if isinstance(column, NumericColumn) else 0
        fits = type(copies) is int and copies >= 0
        fits = fits and column.counts.shape == (codes + missing + copies,)
        if missing:
            fits &= column.missing_code == codes
        if isinstance(column, NumericColumn):
            fits &= column.ranks.shape == (column.width, 2) and column.axis.width == codes
        if not fits:
            raise ValueError(f"column {column.name!r} with parts that do not fit together")
    for derived in encoder.derived:
        of_source = derived.codes
        fits = len(of_source) == modelled[derived.source].width
        if not fits or of_source.max() >= derived.column.width:
            raise ValueError(f"column {derived.column.name!r} derived from codes that are not")
    held = encoder.held
    rebuilt = [column.name for column in encoder.rebuilt]
    names = [c.name for c in modelled] + [derived.column.name for derived in encoder.derived]
    if sorted(rebuilt, key=str) != sorted(held.rebuilt, key=str):
        raise ValueError("columns that nothing rebuilds")
    if sorted([*names, *rebuilt], key=str) != sorted(encoder.names, key=str):
        raise ValueError("columns under other names than the table's")
    for step in held.steps:
        if not {step.target, *step.relation.columns} <= set(encoder.names):
            raise ValueError(f"a relation of columns that there are not: {step.target!r}")
    for column in modelled:
        places = [step.copy for step in held.copies(column.name)]
        if places != list(range(getattr(column, "copies", 0))):
            raise ValueError(f"column {column.name!r} with copies of nothing")


def _check_calibration(calibration: Calibration, encoder: TableEncoder) -> None:
    """Refuse a calibration whose parts do not fit, or with which sampling would never end."""
    columns, ratio, raking = calibration.columns, calibration.ratio, calibration.raking
    for column, factors in zip(columns, raking.factors, strict=True):
        if column.size != len(factors):
            raise ValueError("calibration factors that do not fit the columns")
        if not (np.isfinite(factors).all() and factors.min() > 0):
            raise ValueError("calibration factors that are not positive")
    for stage in ratio.stages:
        for column, places in zip(columns, stage.places, strict=True):
            if column.size != len(places):
                raise ValueError("trees that do not fit the columns")
        features = stage.features
        if len(features) and not 0 <= features.min() <= features.max() < len(columns):
            raise ValueError("trees of other columns")
        if not torch.isfinite(stage.leaves).all():
            raise ValueError("trees with leaves that are not finite")
    limits = np.array(ratio.limits)
    if len(limits) != len(ratio.stages) - 1 or not (np.isfinite(limits) & (limits > 0)).all():
        raise ValueError("limits of weights that do not fit the trees")
    if not (np.isfinite(raking.limit) and 0 < calibration.acceptance <= 1):
        raise ValueError(f"a calibration that accepts {calibration.acceptance} of the rows")
    indexed = encoder.indexed_columns
    for mapped in calibration.values.maps:
        _check_rank_map(mapped, indexed)


def _check_rank_map(mapped: BinMap | RareAtoms, indexed: list) -> None:
    """Refuse a map of ranks that would leave the codes of its column."""
    if type(mapped.index) is not int or not 0 <= mapped.index < len(indexed):
        raise ValueError("a rank map of no column")
    column, _, place = indexed[mapped.index]
    in_bins = isinstance(mapped, BinMap)
    if isinstance(mapped, BinMap):
        source, target = mapped.knots, mapped.distribution
        fits = place is not None and mapped.place == place
        fits = fits and (mapped.first, mapped.bins) == (len(column.atoms), column.bins)
    else:
        source, target, last = mapped.below, mapped.wanted, mapped.last
        fits = isinstance(column, NumericColumn) and source.shape == (len(column.atoms) + 1,)
        fits = fits and last.shape == (column.width,) and last.dtype.kind == "i"
        fits = fits and last.max() < len(column.atoms)
    fits = fits and source.ndim == 1 and source.shape == target.shape
    if not (fits and all(_is_distribution(part, whole=in_bins) for part in (source, target))):
        raise ValueError(f"a rank map that does not fit column {column.name!r}")


def _is_distribution(function: np.ndarray, whole: bool) -> bool:
    """Whether these are values of a distribution function, from 0 on, and to 1 as a whole."""
    return bool(
        function.dtype == np.float64
        and np.isfinite(function).all()
        and (np.diff(function) >= 0).all()
        and function[0] == 0
        and (function[-1] == 1 if whole else function[-1] <= 1 + 1e-9)
    )
