"""How good a synthetic table is: quality, detection, coverage, utility, privacy and validity.

Every function is pure: it copies what it changes, and its randomness comes from ``seed`` alone.
"""

from sdv_wgangp.reporting.scores.classifiers import CLASSIFIERS
from sdv_wgangp.reporting.scores.coverage import Coverage, Mode, coverage
from sdv_wgangp.reporting.scores.detection import Detection, detection
from sdv_wgangp.reporting.scores.membership import Membership, membership
from sdv_wgangp.reporting.scores.privacy import Privacy, privacy
from sdv_wgangp.reporting.scores.quality import Diagnostic, Quality, diagnostic, quality
from sdv_wgangp.reporting.scores.tables import (
    CATEGORIES,
    NUMBERS,
    columns_of,
    single_table,
    subsample,
    to_codes,
    to_numbers,
)
from sdv_wgangp.reporting.scores.utility import Utility, is_regression, tstr
from sdv_wgangp.reporting.scores.validity import Violation, violations

__all__ = [
    "CATEGORIES",
    "CLASSIFIERS",
    "NUMBERS",
    "Coverage",
    "Detection",
    "Diagnostic",
    "Membership",
    "Mode",
    "Privacy",
    "Quality",
    "Utility",
    "Violation",
    "columns_of",
    "coverage",
    "detection",
    "diagnostic",
    "is_regression",
    "membership",
    "privacy",
    "quality",
    "single_table",
    "subsample",
    "to_codes",
    "to_numbers",
    "tstr",
    "violations",
]
