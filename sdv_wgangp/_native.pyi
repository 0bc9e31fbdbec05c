"""Searches and checks on NumPy arrays, compiled from ``csrc/native``."""

import numpy as np

def count_pairs(values: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]: ...
def find_triples(
    values: np.ndarray,
    reach: np.ndarray,
    half: np.ndarray,
    dates: np.ndarray,
    targets: np.ndarray,
    least_fraction: float,
    threads: int,
) -> np.ndarray: ...
def find_dependences(
    codes: np.ndarray,
    sources: np.ndarray,
    targets: np.ndarray,
    least_repeats: float,
    of_two: bool,
    threads: int,
) -> np.ndarray: ...
