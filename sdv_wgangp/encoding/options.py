"""Hyper-parameters of the encoding."""

from __future__ import annotations

from dataclasses import dataclass

from sdv_wgangp.options import Options, option


@dataclass(frozen=True)
class EncodingOptions(Options):
    """What becomes an atom, a bin or a rank, and what follows from another column.

    Attributes:
        max_atoms: A column of at most so many distinct values is a set of atoms, as long as there
            are ``min_rows_per_atom`` rows for each of them.
        min_rows_per_atom: Rows that an atom carries, at least.
        min_atom_frequency: Otherwise an atom carries at least this fraction of the rows.
        atom_prominence: And so many times as many as the mean of its neighbours does.
        atom_neighbours: Distinct values on either side of it that are its neighbours.
        min_atom_mass: If all these atoms carry a smaller fraction of the rows, there are none.
        min_spike_frequency: An atom of a continuous column carries this fraction of the rows;
            lighter ones are plateaus.
        bins: Bins of equal probability of the other values, at most.
        min_rows_per_bin: Rows in a bin, at least.
        association_bins_to_rank: Cramer's V with another ordered column from which on a column
            with bins becomes one continuous rank.
        association_atoms_to_rank: The same for a set of atoms, if they are more than
            ``max_atoms_unranked``.
        max_atoms_unranked: So many atoms stay atoms.
        association_classes: Classes of equal probability that Cramer's V is taken of.
        association_rows: Rows that it is taken of, about.
        quantile_knots: Knots of a quantile map at even steps of rank.
        tail_growth: Gaps between knots grow from one row at either end by this factor up to the
            even step, so tails are followed value by value.
        min_plateau_frequency: A value is drawn as itself, not interpolated, from this fraction of
            the rows on.
        min_plateau_rows: And from so many rows on.
        min_rows_per_level: A level of a column has to be seen so often before "it always goes with
            the same value of another one" says anything.
        relation_columns: Relations are looked for in tables of at most so many columns.
        triple_columns: And sums, products and ratios of three columns with at most so many
            columns of numbers: the time grows with their cube.
        dependence_columns: And columns that two others determine in tables of so many.
        counted_levels: Categories of at most so many numbers are taken for counts by relations
            such as orders; more stand for levels.

    Example:
        >>> EncodingOptions(bins=50).changed()
        {'bins': 50}
    """

    max_atoms: int = option(256, most=2**20)
    min_rows_per_atom: int = option(5, least=1)
    min_atom_frequency: float = option(0.005, most=1)
    atom_prominence: float = option(4.0)
    atom_neighbours: int = option(10, least=1)
    min_atom_mass: float = option(0.05, most=1)
    min_spike_frequency: float = option(0.3, most=1)
    bins: int = option(20, least=1, most=2**15)
    min_rows_per_bin: int = option(25, least=1)
    association_bins_to_rank: float = option(0.15)
    association_atoms_to_rank: float = option(0.3)
    max_atoms_unranked: int = option(20)
    association_classes: int = option(10, least=2, most=1_000)
    association_rows: int = option(5_000, least=1)
    quantile_knots: int = option(500, least=2)
    tail_growth: float = option(1.05, least=1.001)
    min_plateau_frequency: float = option(1 / 2000, most=1)
    min_plateau_rows: int = option(3, least=2)
    min_rows_per_level: int = option(10, least=1)
    relation_columns: int = option(300)
    triple_columns: int = option(200)
    dependence_columns: int = option(60)
    counted_levels: int = option(12)


DEFAULT = EncodingOptions()
