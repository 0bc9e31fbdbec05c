"""Exact relations between the columns of a table: found, tested, told.

`search` finds them, `relation` says what one is; `candidates` holds what may be one,
`significance` the test, `reduction` what follows from others, `counting` the compiled searches and
`counting_numpy` the same in NumPy.
"""

from sdv_wgangp.encoding.relations.relation import Relation, Relations
from sdv_wgangp.encoding.relations.search import find_relations

__all__ = ["Relation", "Relations", "find_relations"]
