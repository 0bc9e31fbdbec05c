"""How good a synthetic table is: quality, detection, utility, privacy and validity, without SDV.

Every function is pure: it copies what it changes, and its randomness comes from ``seed`` alone.
"""

from sdv_wgangp.reporting.scores.detection import Detection, detection
from sdv_wgangp.reporting.scores.privacy import Privacy, privacy
from sdv_wgangp.reporting.scores.quality import Diagnostic, Quality, diagnostic, quality
from sdv_wgangp.reporting.scores.tables import (
    CATEGORIES,
    NUMBERS,
    columns_of,
    single_table,
    to_codes,
    to_numbers,
)
from sdv_wgangp.reporting.scores.utility import Utility, is_regression, tstr
from sdv_wgangp.reporting.scores.validity import Violation, violations

__all__ = [
    "CATEGORIES",
    "NUMBERS",
    "Detection",
    "Diagnostic",
    "Privacy",
    "Quality",
    "Utility",
    "Violation",
    "columns_of",
    "detection",
    "diagnostic",
    "is_regression",
    "privacy",
    "quality",
    "single_table",
    "to_codes",
    "to_numbers",
    "tstr",
    "violations",
]
