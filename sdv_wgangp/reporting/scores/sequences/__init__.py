"""How good synthetic sequences are, without SDV: pure functions of tables, a key and an index.

`score_sequences` gives everything; `panel` holds sequences as arrays, and each other file one kind
of question about two of them.
"""

from sdv_wgangp.reporting.scores.sequences.baselines import copula_over_time, independent_rows
from sdv_wgangp.reporting.scores.sequences.panel import Panel, read_panels
from sdv_wgangp.reporting.scores.sequences.score import (
    BASELINES,
    SequenceScores,
    Subject,
    score_sequences,
)

__all__ = [
    "BASELINES",
    "Panel",
    "SequenceScores",
    "Subject",
    "copula_over_time",
    "independent_rows",
    "read_panels",
    "score_sequences",
]
