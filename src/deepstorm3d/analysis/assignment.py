"""One-to-one assignment over sparse candidate pairs: exact, in blocks of whole connected components."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["least_total"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Sparse assignment costs rows × columns at worst; blocks of whole components keep it linear.
_BLOCK_ROWS = 256


def least_total(left: Ints, right: Ints, cost: Floats, *, unmatched: float | None = None) -> Ints:
    """Choose candidate pairs so that no member is in two of them; returns positions in the input, (K,).

    left, right: (P,) members of each pair, each pair once;  cost: (P,) ≥ 0, of order 1;  unmatched: cost of
    a left member without a partner, at least as large as every `cost`; the total over all members is minimized.
    None: as many pairs as possible and, among the solutions with that number, the least total cost.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(left) == 0:
        return np.zeros(0, np.int64)
    rows, row = np.unique(left, return_inverse=True)
    columns, column = np.unique(right, return_inverse=True)
    nodes = len(rows) + len(columns)
    graph = coo_array((np.ones(len(left), np.int8), (row, len(rows) + column)), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][row]
    lefts = np.bincount(component[np.unique(row, return_index=True)[1]])[component]
    rights = np.bincount(component[np.unique(column, return_index=True)[1]])[component]
    order = np.lexsort((cost, component))
    simple = (lefts == 1) | (rights == 1)
    # Where one side has a single member the answer is the nearest pair.
    head = np.r_[True, np.diff(component[order]) != 0]
    chosen = [order[head & simple[order]]]
    rest = order[~simple[order]]
    for block in _blocks(component[rest], row[rest]):
        pairs = rest[block]
        chosen.append(pairs[_assign_block(row[pairs], column[pairs], cost[pairs], unmatched)])
    return np.concatenate(chosen)


def _blocks(component: Ints, row: Ints) -> list[slice]:
    """Cut pairs sorted by component into runs of whole components with about _BLOCK_ROWS rows each."""
    if len(component) == 0:
        return []
    starts = np.flatnonzero(np.r_[True, np.diff(component) != 0])
    new_row = np.zeros(len(row), np.int64)
    new_row[np.unique(row, return_index=True)[1]] = 1
    group = (np.cumsum(np.add.reduceat(new_row, starts)) - 1) // _BLOCK_ROWS
    cuts = [*starts[np.r_[True, np.diff(group) != 0]].tolist(), len(component)]
    return [slice(begin, end) for begin, end in pairwise(cuts)]


def _assign_block(row: Ints, column: Ints, cost: Floats, unmatched: float | None) -> Ints:
    """Exact assignment of one block; returns the positions of the chosen pairs."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, i = np.unique(row, return_inverse=True)
    columns, j = np.unique(column, return_inverse=True)
    n, m = len(rows), len(columns)
    # Each row may also take a column of its own that means "unmatched". Where the number of pairs comes first,
    # this column costs more than all others together, so that no pair is given up to shorten the others.
    # The 1 keeps costs of 0 from being read as "no edge"; each row pays it once, so nothing changes.
    alone = 1.0 + (n + 1) * max(float(cost.max()), 1.0) if unmatched is None else unmatched
    # The matching of scipy before 1.15 takes 32-bit indices only; a block is far smaller.
    ends = np.r_[i, np.arange(n)].astype(np.int32), np.r_[j, m + np.arange(n)].astype(np.int32)
    edges = csr_array((np.r_[1.0 + cost, np.full(n, 1.0 + alone)], ends), shape=(n, n + m))
    matched, partner = min_weight_full_bipartite_matching(edges)
    mate = np.full(n, -1)
    mate[matched] = partner
    return np.flatnonzero(mate[i] == j)
