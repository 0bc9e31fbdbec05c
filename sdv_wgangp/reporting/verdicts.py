"""From scores to sentences: verdicts on fidelity, utility and privacy, and findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sdv_wgangp.reporting.data import (
    BAD,
    FAIR,
    GOOD,
    SMALLEST,
    UNKNOWN,
    Column,
    Finding,
    Pair,
    Verdict,
    Violation,
)
from sdv_wgangp.reporting.formats import few, percent
from sdv_wgangp.reporting.scores import Detection, Privacy, Quality, Utility

HOLD_OUT = (
    "Hold real rows out before fitting (sdv-wgangp fit --holdout 0.1) and give them to the report "
    "(--holdout FILE); after fitting to all rows there is no way to make up for it."
)
GRADES = (GOOD, FAIR, BAD)


def alarm(privacy: Privacy) -> str:
    """The one sentence about a synthetic table that is made of training rows, or nothing."""
    if privacy.exact_copies >= max(0.5, 2 * _chance(privacy)):
        return (
            f"{percent(privacy.exact_copies)} of the synthetic rows are exact copies of training "
            "rows. This is the real table, not a synthetic one: do not share it."
        )
    if privacy.nearest_record_share is not None and privacy.nearest_record_share > 0.9:
        return (
            f"{percent(privacy.nearest_record_share)} of the synthetic rows lie nearer to a "
            "training row than to any held-out row. These are training rows, slightly changed: "
            "do not share them."
        )
    return ""


def _chance(privacy: Privacy) -> float:
    """How many rows of a table that knows nothing of the training rows equal one of them.

    A training row with a twin among the others is as good a draw of that as a held-out row.
    """
    twins = privacy.train_twins * privacy.train_rows
    copies = (privacy.holdout_exact_copies or 0.0) * privacy.holdout_rows
    return (twins + copies) / (privacy.train_rows + privacy.holdout_rows)


def _likely_at_most(privacy: Privacy) -> float:
    """`_chance` with two standard errors, and at least the three rows that may not have shown."""
    rows = privacy.train_rows + privacy.holdout_rows
    count = _chance(privacy) * rows
    return (count + 2 * math.sqrt(count) + 3) / rows


def _worst(grades: Sequence[str]) -> str:
    return max(grades, key=GRADES.index)


def _graded(value: float, good: float, fair: float) -> str:
    """A grade by the least values of good and fair ones."""
    return GOOD if value >= good else FAIR if value >= fair else BAD


def is_below_chance(detection: Detection) -> bool:
    """Whether the AUC is too far below one half to be chance."""
    mean = sum(detection.aucs) / len(detection.aucs)
    return mean < 0.5 - max(0.02, 1.5 / math.sqrt(detection.rows))


def _said(detection: Detection) -> str:
    """The score, or why it says nothing."""
    return "AUC < .5" if is_below_chance(detection) else f"{detection.score:.3f}"


def fidelity(
    quality: Quality,
    detection: Detection,
    quality_holdout: Quality | None,
    detection_unseen: Detection | None,
    detection_holdout: Detection | None,
    alarmed: bool,
    pairs: Sequence[Pair],
) -> Verdict:
    """How much the rows look like real ones, as new real rows would.

    Args:
        quality: Over all pairs.
        detection: Against the real rows.
        quality_holdout: `quality` of the held-out rows.
        detection_unseen: Against the held-out rows; that is judged, where there are any.
        detection_holdout: Of the held-out rows against the real ones.
        alarmed: The rows are the training rows.
        pairs: The worst first.
    """
    if alarmed:
        return Verdict(
            "fidelity",
            UNKNOWN,
            "The scores of fidelity mean nothing here: a copy of a table looks exactly like it.",
            "Judge a sample that is not made of training rows.",
        )
    if quality_holdout is None or detection_holdout is None or detection_unseen is None:
        told_apart = _graded(detection.score, 0.8, 0.4)
        grade = _worst([told_apart, _graded(quality.overall, 0.95, 0.88)])
        sentence = (
            f"{_TOLD_APART[told_apart]}{_although(told_apart, grade)}: "
            f"detection {_said(detection)}, quality over all pairs {quality.overall:.3f}, of 1 "
            "each. Without held-out rows nobody knows what new real rows "
            "would score."
        )
    else:
        reference, unseen = detection_holdout.score, quality_holdout.overall
        told_apart = _graded(detection_unseen.score, reference - 0.15, reference / 2)
        grade = _worst([told_apart, _graded(quality.overall, unseen - 0.02, unseen - 0.05)])
        sentence = (
            f"{_TOLD_APART[told_apart]}{_although(told_apart, grade)}: "
            f"detection against held-out rows {_said(detection_unseen)} "
            f"(held-out against real rows {_said(detection_holdout)}), quality over all pairs "
            f"{quality.overall:.3f} (held-out rows {unseen:.3f})."
        )
    remedy = ""
    if grade != GOOD:
        names = [name for name, lost in detection.telling[:3] if lost > 0.005]
        parts = [f"The rows are recognised mostly by {few(names)}."] if names else []
        if pairs and pairs[0].score < 0.9:
            parts.append(f"The worst pair is {pairs[0].first} with {pairs[0].second}.")
        parts.append(
            "Train longer (more epochs), keep the calibration on, match statistics "
            "(meta_features='auto'), and check that the metadata give these columns the right "
            "type."
        )
        remedy = " ".join(parts)
    return Verdict("fidelity", grade, sentence, remedy)


_TOLD_APART = {
    GOOD: "Boosted trees can hardly tell the rows from real ones",
    FAIR: "Boosted trees tell some of the rows from real ones",
    BAD: "Boosted trees tell the rows from real ones easily",
}


def _although(told_apart: str, grade: str) -> str:
    """What is worse than the trees find it."""
    return "" if told_apart == grade else ", but columns or pairs are distributed otherwise"


def utility(
    synthetic: Utility | None, real: Utility | None, held_out: bool, alarmed: bool
) -> Verdict:
    """Whether models trained on the rows work on real ones as well as models of real rows.

    Args:
        synthetic: Trained on synthetic rows; None without a target.
        real: Trained on real rows.
        held_out: Whether they were tested on held-out rows.
        alarmed: The rows are the training rows.
    """
    if synthetic is None or real is None:
        return Verdict(
            "utility",
            UNKNOWN,
            "Not measured: no column was named that a model should predict.",
            "Name one: --target COLUMN, or target= of build_report.",
        )
    if alarmed:
        return Verdict(
            "utility",
            UNKNOWN,
            "The scores of utility mean nothing here: the model is trained on the real rows.",
            "Judge a sample that is not made of training rows.",
        )
    name, got, best, chance = (
        ("AUC", synthetic.auc, real.auc, 0.5)
        if synthetic.task == "classification"
        else ("R2", synthetic.r2, real.r2, 0.0)
    )
    if got is None or best is None or best - chance < 0.02:
        return Verdict(
            "utility",
            UNKNOWN,
            f"Nothing can be said: even a model of real rows cannot predict {synthetic.target}.",
            "Name another target.",
        )
    grade = _graded((got - chance) / (best - chance), 0.9, 0.7)
    compared = {
        GOOD: "almost as well as",
        FAIR: "noticeably worse than",
        BAD: "much worse than",
    }[grade]
    if got >= best:
        compared = "as well as"
    tested = "held-out rows" if held_out else "real rows, which the synthesizer may have seen"
    sentence = (
        f"A model trained on the synthetic rows predicts {synthetic.target} {compared} one "
        f"trained on real rows ({name} {got:.3f} and {best:.3f}, tested on {tested})."
    )
    remedy = []
    if grade != GOOD:
        remedy.append(
            "Train longer, or with meta_features='auto'; the pairs of columns that contain the "
            "target show what was not learnt."
        )
    if not held_out:
        remedy.append(HOLD_OUT)
    return Verdict("utility", grade, sentence, " ".join(remedy))


def privacy(found: Privacy, alarmed: bool) -> Verdict:
    """Whether copies and distances show training rows shining through."""
    copies, chance = found.exact_copies, _chance(found)
    stop = (
        "Do not share these rows. Fit fewer epochs or with early stopping, to more rows, and "
        "without columns that identify people; then judge again."
    )
    against = f"of rows that know nothing of them it would be {percent(chance)}"
    if alarmed:
        near = found.nearest_record_share
        nearer = "" if near is None else f" {percent(near)} lie nearer to one than to new rows."
        return Verdict(
            "privacy",
            BAD,
            f"{percent(copies)} of the synthetic rows equal a training row; {against}.{nearer}",
            stop,
        )
    likely = _likely_at_most(found)
    grade = _graded(-copies, -max(1.5 * likely, 0.001), -max(3 * likely, 0.01))
    fraction = found.nearest_record_share
    if fraction is None:
        if grade == GOOD:
            return Verdict(
                "privacy",
                UNKNOWN,
                f"Not judged: {percent(copies)} of the rows are copies of training rows, but "
                "whether they lie nearer to them than new rows would cannot be seen without "
                "held-out rows.",
                HOLD_OUT,
            )
        return Verdict(
            "privacy",
            grade,
            f"{percent(copies)} of the synthetic rows equal a training row; {against}.",
            f"{stop} {HOLD_OUT}",
        )
    if found.holdout_exact_copies is not None and found.holdout_exact_copies > 0.5:
        return Verdict(
            "privacy",
            UNKNOWN,
            "Not judged: most held-out rows are among the real rows.",
            "Give as real rows only those that the synthesizer was fitted to.",
        )
    # Two standard errors of a share that as few held-out rows decide.
    noise = 1 / math.sqrt(max(min(found.holdout_rows, found.synthetic_rows), 1))
    nearness = _graded(-fraction, -0.5 - max(0.04, noise), -0.5 - max(0.1, 2 * noise))
    grade = _worst([grade, nearness])
    start = {
        GOOD: "Copies and distances give no sign of training rows shining through",
        FAIR: "The rows lie somewhat closer to the training rows than new rows do",
        BAD: "Training rows shine through",
    }[grade]
    sentence = (
        f"{start}: {percent(copies)} exact copies (by chance {percent(chance)}), "
        f"{percent(fraction)} nearer to training than to held-out rows (50 % is ideal)."
    )
    remedy = stop if grade == BAD else ""
    if grade == FAIR:
        remedy = "Look at the distances below; fit fewer epochs, or to more rows."
    return Verdict("privacy", grade, sentence, remedy)


def findings(
    *,
    quality: Quality,
    detection: Detection,
    utility_found: Utility | None,
    privacy_found: Privacy,
    violations: Sequence[Violation],
    columns: Sequence[Column],
    named_classes: Sequence[str],
    alarmed: bool,
    empty: Mapping[str, str],
) -> tuple[Finding, ...]:
    """What deserves a look beside the verdicts; empty when nothing stands out."""
    found = []

    def add(key: str, sentence: str) -> None:
        found.append(Finding(key, sentence))

    private = privacy_found
    if private.exact_copies > max(1.5 * _likely_at_most(private), 0.001):
        why = "" if alarmed else " Few distinct rows explain this, memorising explains it too."
        add("copies", f"{percent(private.exact_copies)} of the rows equal a training row.{why}")
    if private.holdout_exact_copies is not None and private.holdout_exact_copies > 0.5:
        add(
            "holdout",
            f"{100 * private.holdout_exact_copies:.0f} % of the held-out rows are among the real "
            "rows: give as real rows only those that the synthesizer was fitted to.",
        )
    if is_below_chance(detection):
        add("detection", below_chance(detection))
    elif detection.score < 0.5:
        names = [name for name, lost in detection.telling[:3] if lost > 0.005]
        if names:
            add("telling", f"Boosted trees recognise synthetic rows mostly by: {few(names)}.")
    for violation in violations:
        if violation.real > 0:
            add(
                "metadata",
                f"Column {violation.column}: {percent(violation.real)} of the real rows "
                f"themselves break the rule “{violation.kind}”: correct the metadata.",
            )
    # One value in a hundred beyond the range of the real rows is what new real rows have too.
    bad = [v for v in violations if v.fraction > max(0.01, 2 * (v.holdout or 0.0), v.real)]
    if bad:
        add(
            "validity",
            "Invalid values: "
            + few([f"{v.column} ({v.kind}, {percent(v.fraction)})" for v in bad])
            + ".",
        )
    if utility_found is not None and utility_found.missing_classes:
        rare = len(utility_found.missing_classes) - len(named_classes)
        names = list(named_classes)
        if rare:
            names.append(f"{rare} of fewer than {SMALLEST} real rows")
        add(
            "classes",
            f"Classes of {utility_found.target!r} that no synthetic row has: {few(names)}; "
            "each counts as AUC .5.",
        )
    failed = [column.name for column in columns if column.metric and column.score is None]
    if failed:
        add("shapes", f"SDMetrics could not score the shape of: {few(failed)}.")
    if math.isnan(quality.pair_trends):
        add(
            "pairs",
            "No pair of real columns is related enough for SDMetrics' default pair trends: "
            "the default overall score is column shapes alone.",
        )
    if empty:
        add("empty", f"Empty in both tables, so not scored: {few(list(empty))}.")
    return tuple(found)


def below_chance(detection: Detection) -> str:
    """Why a detection score of 1 is no praise here."""
    mean = sum(detection.aucs) / len(detection.aucs)
    return (
        f"The detection score is 1 because the AUC ({mean:.3f}) lies below one half. That is not "
        "better than real: the rows lie closer to the real ones than new rows would, as copies "
        "do, and rows that were calibrated to them."
    )
