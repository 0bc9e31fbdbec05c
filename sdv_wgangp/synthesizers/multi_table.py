"""`IndependentWGANGPMFSSynthesizer`: several tables of SDV, one model for each, joined by keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sdv.errors import SynthesizerInputError
from sdv.multi_table.base import BaseMultiTableSynthesizer
from sdv.sampling.independent_sampler import BaseIndependentSampler
from tqdm import tqdm

from sdv_wgangp.parameters import check_names, check_values
from sdv_wgangp.persistence.former_names import FormerNames
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.arguments import input_errors
from sdv_wgangp.synthesizers.saved_classes import register
from sdv_wgangp.synthesizers.saving import Saved
from sdv_wgangp.synthesizers.seeding import OF_THE_PROCESS, Seeded, one_at_a_time
from sdv_wgangp.synthesizers.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers.watched import WATCHING, Watched


@dataclass(frozen=True)
class Cardinality(FormerNames):
    """How many rows of a child table refer to one row of a parent table.

    Attributes:
        children: Numbers of children that occur, ascending, int64 ``[m]``.
        parents: Parents that have so many, int64 ``[m]``.
        null_fraction: Of the child's rows those that refer to none, in [0, 1].
    """

    children: np.ndarray
    parents: np.ndarray
    null_fraction: float

    former_names: ClassVar[Mapping[str, str | None]] = {"null_share": "null_fraction"}

    @classmethod
    def of(cls, foreign_key: pd.Series | pd.Index, parents: int) -> Cardinality:
        """That of a column which refers to a table of so many rows."""
        referred = foreign_key.dropna().value_counts().to_numpy()
        counts = np.concatenate([referred, np.zeros(parents - len(referred), dtype=np.int64)])
        children, number = np.unique(counts, return_counts=True)
        return cls(children, number, float(np.mean(foreign_key.isna())))

    def draw(self, rows: int, parents: int, random: Any) -> np.ndarray:
        """The parent of every row, int64 ``[rows]``; -1 for none.

        The numbers of children are the observed ones in the observed proportions, spread evenly
        rather than drawn one by one; what is then missing or too much is one child more or fewer
        for some parents, within the observed range where that is possible.

        Args:
            rows: Rows of the child table.
            parents: Rows of the parent table, at least one.
            random: A source like ``numpy.random``.
        """
        ranks = (np.arange(parents) + 0.5) / parents
        cumulative = np.cumsum(self.parents) / self.parents.sum()
        counts = self.children[np.searchsorted(cumulative, ranks, side="right")]
        wanted = rows - round(self.null_fraction * rows)
        while (excess := counts.sum() - wanted) != 0:
            step = -int(np.sign(excess))
            limit = self.children[-1] if step > 0 else self.children[0]
            free = np.flatnonzero((counts - limit) * step < 0)
            # Parents without children stay without, unless nothing else is left.
            first = free[counts[free] > (0 if step > 0 else 1)]
            free = first if len(first) else free
            if not len(free):
                free = np.flatnonzero(counts + step >= 0)
            counts[random.permutation(free)[: abs(excess)]] += step
        drawn = np.full(rows, -1)
        drawn[:wanted] = np.repeat(random.permutation(parents), counts)
        return random.permutation(drawn)


class IndependentWGANGPMFSSynthesizer(
    Watched, Seeded, Saved, BaseIndependentSampler, BaseMultiTableSynthesizer
):
    """Several tables: a `WGANGPMFSSynthesizer` for each, and keys that refer as the real ones do.

    The columns of a table are learned together; columns of different tables are independent of
    each other. Foreign keys refer to rows that exist, the numbers of children of a parent
    (none included) are distributed as in the training tables, and as many references are missing.

    Args:
        metadata: SDV metadata of the tables and their relationships.
        locales: Locales of the anonymised columns.
        table_parameters: Parameters of `WGANGPMFSSynthesizer` for every table;
            `set_table_parameters` changes them for one.
        verbose: Show the progress from table to table.

    Raises:
        SynthesizerInputError: A parameter is unknown or out of range; names it.
    """

    _synthesizer = WGANGPMFSSynthesizer

    def __init__(
        self,
        metadata,
        locales: Sequence[str] | str | None = ("en_US",),
        table_parameters: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ):
        if table_parameters is not None and not isinstance(table_parameters, Mapping):
            raise SynthesizerInputError(
                "table_parameters must be None or parameters by name, like {'epochs': 100}, not "
                f"{table_parameters!r}."
            )
        with input_errors():
            check_values({"locales": locales, "verbose": verbose})
            check_names(table_parameters or (), of="table_parameters")
        self.table_parameters = table_parameters
        # SDV gives these to every table that it makes a synthesizer for.
        self.DEFAULT_SYNTHESIZER_KWARGS = dict(table_parameters or {})
        locales = list(locales) if isinstance(locales, tuple) else locales
        BaseMultiTableSynthesizer.__init__(self, metadata, locales=locales)
        self.verbose = verbose
        self._table_sizes: dict[str, int] = {}
        self._cardinalities: dict[tuple[str, str], Cardinality] = {}

    def _complete(self) -> None:
        super()._complete()
        for synthesizer in self._table_synthesizers.values():
            synthesizer._complete()

    def _check_parameters(self) -> None:
        for synthesizer in self._table_synthesizers.values():
            synthesizer._check_parameters()

    def validate(self, data) -> None:
        with sdv_versions.keeping_numpy_state():
            super().validate(data)

    def set_table_parameters(self, table_name: str, table_parameters: Mapping[str, Any]) -> None:
        """Change parameters of one table's synthesizer; those not named stay as they are.

        Args:
            table_name: The table.
            table_parameters: Parameters of `WGANGPMFSSynthesizer`.

        Raises:
            SynthesizerInputError: One of them is unknown or out of range; names it.
        """
        with input_errors():
            check_names(table_parameters, of="table_parameters")
        before = {"locales": self.locales, **self._table_parameters.get(table_name, {})}
        super().set_table_parameters(table_name, before | dict(table_parameters))

    def _augment_tables(self, processed_data: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """Learn the cardinalities, of the keys that preprocessing lets through as they are."""
        self._table_sizes = {name: len(table) for name, table in processed_data.items()}
        self._cardinalities = {}
        for relation in self.metadata.relationships:
            child, key = relation["child_table_name"], relation["child_foreign_key"]
            table = processed_data[child]
            # A primary key that is a foreign key too is not a column any more, but the index.
            column = table.get(key, table.index)
            parents = self._table_sizes[relation["parent_table_name"]]
            self._cardinalities[child, key] = Cardinality.of(column, parents)
        return processed_data

    def _model_tables(self, augmented_data: dict[str, pd.DataFrame]) -> None:
        tables = tqdm(augmented_data.items(), **self._get_pbar_args(desc="Modeling Tables"))
        for name, table in tables:
            keys = set(self.metadata._get_all_foreign_keys(name)) & set(table)
            columns = table.drop(columns=list(keys)).reset_index(drop=True)
            synthesizer = self._table_synthesizers[name]
            self._pass_on_watching(name, synthesizer)
            synthesizer.fit_processed_data(
                sdv_versions.as_fit_input(synthesizer.metadata, columns)
            )

    def _pass_on_watching(self, name: str, synthesizer: WGANGPMFSSynthesizer) -> None:
        """Callbacks as they are; checkpoints into a folder for each table."""
        synthesizer.set_callbacks(self._callbacks)
        synthesizer.set_checkpoints(None)
        if self._checkpoint_options is not None:
            folder, options = self._checkpoint_options
            synthesizer.set_checkpoints(Path(folder) / name, **options)
        synthesizer._resuming, synthesizer._exact = self._resuming, self._exact

    def _begin_at(self, seed: int) -> None:
        self._numpy_seed = seed % 2**32
        for synthesizer in self._table_synthesizers.values():
            synthesizer.set_sampling_seed(seed)

    def _sample(self, *args: Any, **kwargs: Any) -> dict[str, pd.DataFrame]:
        with one_at_a_time():
            seed = self._seed_after_fork()
            if seed is not None:
                np.random.seed(seed % 2**32)  # which SDV has set just before
            return super()._sample(*args, **kwargs)

    def _connect_tables(self, sampled_data: dict[str, pd.DataFrame]) -> None:
        """Add the foreign keys to sampled tables.

        In an order that is the same in every process, and so that a table refers to another one
        only when the primary keys of that, which may be foreign keys too, are known.
        """
        pending = list(self.metadata.relationships)
        while pending:
            unknown = {relation["child_table_name"] for relation in pending}
            ready = [each for each in pending if each["parent_table_name"] not in unknown]
            pending = [each for each in pending if each not in ready]
            for relation in ready:
                parent = sampled_data[relation["parent_table_name"]]
                child, key = relation["child_table_name"], relation["child_foreign_key"]
                values = parent[relation["parent_primary_key"]].reset_index(drop=True)
                # SDV has set numpy's generator for the time of sampling, and sets it back.
                parents = self._cardinalities[child, key].draw(
                    len(sampled_data[child]), len(values), np.random
                )
                if (parents < 0).any():  # large integers would not survive as floats beside NaN
                    values = values.astype(object)
                sampled_data[child][key] = values.reindex(parents).to_numpy()


register(Cardinality)
register(IndependentWGANGPMFSSynthesizer, without=WATCHING | OF_THE_PROCESS)
