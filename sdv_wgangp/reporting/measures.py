"""The measures of a report by section: value, reference, and what they mean."""

from __future__ import annotations

import numpy as np

from sdv_wgangp.reporting import modes, protection, scores, verdicts
from sdv_wgangp.reporting.data import Measure, Section
from sdv_wgangp.reporting.scoring import Scores

_FAMILIES = {
    "pair_trees": (
        "trees that see differences",
        "boosted trees that also see the difference of any two numbers: they notice where totals "
        "do not add up (as many synthetic as held-out rows)",
    ),
    "extra_trees": (
        "extremely randomised trees",
        "a family that no calibration selects rows by (as many synthetic as held-out rows)",
    ),
    "network": (
        "a small network",
        "another such family: two hidden layers (as many synthetic as held-out rows)",
    ),
}


def sections(found: Scores) -> tuple[Section, ...]:
    """The measures, in the order in which text and page show them."""

    def of(result, name):
        return None if result is None else finite(getattr(result, name))

    def auc(result):
        return None if result is None else float(np.mean(result.aucs))

    def quality(key, label, name, all_pairs, meaning):
        which = "quality_all" if all_pairs else "quality"
        own, reference = getattr(found, which), getattr(found.unseen, which, None)
        return Measure(
            f"quality.{key}", label, of(own, name), of(reference, name), "score", meaning
        )

    default = found.quality
    unseen_detection = None if found.unseen is None else found.unseen.detection
    unseen_diagnostic = None if found.unseen is None else found.unseen.diagnostic
    result = [
        Section(
            "quality",
            f"Quality (SDMetrics {default.sdmetrics_version})",
            (
                quality(
                    "overall",
                    "overall, default",
                    "overall",
                    False,
                    "mean of column shapes and of the pair trends that SDMetrics counts: "
                    f"|correlation| > {default.correlation_threshold:g} or association > "
                    f"{default.association_threshold:g} in the real rows",
                ),
                quality(
                    "overall_all_pairs",
                    "overall, all pairs",
                    "overall",
                    True,
                    "the same with both thresholds at 0, as in published tables; columns drawn "
                    "independently already reach about .95 on many tables",
                ),
                quality(
                    "shapes",
                    "column shapes",
                    "column_shapes",
                    False,
                    "1 - Kolmogorov-Smirnov distance (numbers) or 1 - total variation "
                    "(categories), mean over columns",
                ),
                quality(
                    "trends",
                    "pair trends, default",
                    "pair_trends",
                    False,
                    "similarity of correlations and contingency tables, related pairs only",
                ),
                quality(
                    "trends_all_pairs",
                    "pair trends, all pairs",
                    "pair_trends",
                    True,
                    "the same over every pair of columns",
                ),
            ),
        )
    ]
    below = verdicts.is_below_chance(found.detection)
    detection = [
        Measure(
            "detection.score",
            "against the real rows",
            found.detection.score,
            of(unseen_detection, "score"),
            "score",
            "1 = cannot be told apart from real rows, 0 = always; the strictest test here, "
            "because trees see any dependence",
            note="AUC below one half" if below else "",
            instead="AUC < .5" if below else "",
        ),
        Measure(
            "detection.auc",
            "AUC against the real rows",
            auc(found.detection),
            auc(unseen_detection),
            "score",
            "what the score above is made of: .5 is a coin, 1 always right; the score does not "
            "fall below .5",
            verdicts.below_chance(found.detection) if below else "",
        ),
    ]
    if found.detection_unseen is not None:
        detection.append(
            Measure(
                "detection.unseen",
                "against the held-out rows",
                found.detection_unseen.score,
                of(unseen_detection, "score"),
                "score",
                "the same against real rows that the synthesizer never saw: a lower value than "
                "above shows what was fitted to the training rows alone",
            )
        )
    result.append(Section("detection", "Detection (boosted trees)", tuple(detection)))
    unseen_families = {} if found.unseen is None else found.unseen.families
    families = []
    for name, (label, meaning) in _FAMILIES.items():
        own, reference = found.families[name].score, of(unseen_families.get(name), "score")
        families.append(Measure(f"detection.{name}", label, own, reference, "score", meaning))
    result.append(Section("families", "Detection (other families)", tuple(families)))
    unseen_coverage = None if found.unseen is None else found.unseen.coverage
    result.append(modes.section(found.coverage_equal, unseen_coverage))
    if found.utility is not None:
        result.append(_utility_section(found, found.utility, of))
    result.append(_privacy_section(found.privacy, found.membership))
    result.append(
        Section(
            "validity",
            "Validity (SDMetrics' diagnostic)",
            (
                Measure(
                    "validity.data",
                    "data validity",
                    of(found.diagnostic, "data_validity"),
                    of(unseen_diagnostic, "data_validity"),
                    "score",
                    "known categories, values inside the real range, unique keys",
                ),
                Measure(
                    "validity.structure",
                    "data structure",
                    of(found.diagnostic, "data_structure"),
                    of(unseen_diagnostic, "data_structure"),
                    "score",
                    "the same columns with the same types",
                ),
            ),
        )
    )
    return tuple(result)


def finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def short(value: float | None) -> float | None:
    """Four digits: in an error or a distance a single extreme value could be read from more."""
    known = finite(value)
    return None if known is None else protection.significant(known, 4)


def _utility_section(found: Scores, own: scores.Utility, of) -> Section:
    real = found.utility_real
    tested = "real" if found.unseen is None else "held-out"
    about = (
        f"boosted trees predict {own.target!r} in {tested} rows, trained on synthetic rows "
        "(reference: on real rows)"
    )

    def measure(name, label, kind, meaning):
        value, reference = short(of(own, name)), short(of(real, name))
        return Measure(f"utility.{name}", label, value, reference, kind, meaning)

    if own.task == "classification":
        measures = [measure("auc", "AUC", "score", about)]
    else:
        measures = [
            measure("r2", "R2", "score", about),
            measure("rmse", "RMSE", "number", "root mean squared error in the unit of the target"),
        ]
        if own.log_rmse is not None:
            measures.append(
                measure(
                    "log_rmse",
                    "RMSE of the logarithm",
                    "number",
                    "of log(clip(target, 1, 20000)), as published for heavy tails",
                )
            )
    title = f"Utility (train on synthetic, target {own.target!r})"
    return Section("utility", title, tuple(measures))


def _privacy_section(found: scores.Privacy, attack: scores.Membership | None) -> Section:
    measures = []
    if found.nearest_record_share is not None:
        measures = [
            Measure(
                "privacy.nearest",
                "nearest-record share",
                found.nearest_record_share,
                0.5,
                "score",
                "synthetic rows nearer to the training rows than to as many held-out rows; "
                "clearly above .5 means training rows were memorised",
            ),
            Measure(
                "privacy.ratio",
                "distance ratio",
                short(found.distance_ratio),
                1.0,
                "number",
                "median distance to the closest training row, over the same of held-out rows",
            ),
        ]
    if attack is not None:
        measures.append(
            Measure(
                "privacy.attack",
                "membership attack, AUC",
                attack.auc,
                attack.control,
                "score",
                "trees tell synthetic rows from half of the held-out ones and rank training rows "
                "against the other half: .5 is a coin (reference: real rows that nobody was "
                "trained on in the place of the synthetic ones)",
            )
        )
    measures += [
        Measure(
            "privacy.copies",
            "exact copies",
            found.exact_copies,
            found.holdout_exact_copies,
            "share",
            "synthetic rows equal to a training row in every column",
        ),
        Measure(
            "privacy.new",
            "new rows",
            found.new_rows,
            found.holdout_new_rows,
            "share",
            "synthetic rows that match no training row in all categories and, within 1 %, in all "
            "numbers",
        ),
    ]
    return Section("privacy", "Privacy", tuple(measures))
