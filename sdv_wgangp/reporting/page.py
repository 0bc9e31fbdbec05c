"""The report as one HTML page: styles and figures inline, no script, nothing from the network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sdv_wgangp.plots.style import shortened
from sdv_wgangp.reporting import figures, modes, relations, sequence_views
from sdv_wgangp.reporting.data import (
    QUANTILES,
    Bars,
    Boxes,
    Cells,
    Column,
    Content,
    Pair,
    Summary,
)
from sdv_wgangp.reporting.formats import measured, number, percent, value_of
from sdv_wgangp.reporting.panels import PANELS
from sdv_wgangp.reporting.style import STYLE

GRADES = {
    "good": ("✓", "good"),
    "fair": ("!", "look closer"),
    "bad": ("✕", "bad"),
    "unknown": ("?", "not judged"),
}
KEY = (
    '<div class="key"><span><i class="real"></i>real</span>'
    '<span><i class="synthetic"></i>synthetic</span></div>'
)


def render(
    content: Content,
    *,
    most_drawn: int = 40,
    most_mapped: int = 24,
    most_pairs: int = 10,
    most_folded: int = 500,
) -> str:
    """The whole page as text.

    Args:
        content: What it says.
        most_drawn: Columns that have a figure each, those with the lowest scores first.
        most_mapped: Columns in the maps of associations.
        most_pairs: Pairs in the table of their scores.
        most_folded: Pairs in that table and its folded part; the JSON has all.
    """
    sections = [
        ("scores", "Scores and what they mean", _scores(content)),
        ("columns", "Columns", _columns(content)),
        ("shapes", "Column shapes", _shapes(content, most_drawn)),
        ("pairs", "Pair trends", _pairs(content, most_pairs, most_folded)),
        ("associations", "Associations", _associations(content, most_mapped)),
        ("detection", "Detection", _detection(content)),
        ("distances", "Distances to training rows", _distances(content)),
        ("rare", "Rare levels", _rare(content)),
        ("modes", "Lost modes", modes.page(content.modes)),
        ("validity", "Validity", _validity(content)),
        ("relations", "Relations", relations.page(content.relations, "holdout" in content.rows)),
        ("sequences", "Sequences", sequence_views.page(content.sequences)),
        ("training", "Training", _training(content)),
        ("shown", "What is not shown", f"<p>{escape(content.protection)}</p>{_left_out(content)}"),
        ("provenance", "Provenance", _provenance(content)),
    ]
    for panel in PANELS:
        place = [key for key, *_ in sections].index(panel.after) + 1
        record = content.panels[panel.key]
        sections.insert(place, (panel.key, panel.title, panel.draw(record) if record else ""))
    return document(content.title, _top(content), sections)


def document(title: str, top: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """A whole page.

    Args:
        title: Of the window, plain text.
        top: What it begins with, HTML.
        sections: Anchor, heading and HTML of each; those without any are left out.
    """
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{name}</h2>{inner}</section>' for key, name, inner in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<a class="skip" href="#scores">Skip to the scores</a><main>{top}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{body}</main></body></html>\n'
    )


def _top(content: Content) -> str:
    alarm = ""
    if content.alarm:
        alarm = (
            f'<div class="alarm" role="alert"><strong>✕ Do not share</strong>'
            f"{escape(content.alarm)}</div>"
        )
    cards = ""
    for verdict in content.verdicts:
        sign, said = GRADES[verdict.grade]
        remedy = ""
        if verdict.remedy:
            remedy = f"<p><strong>What to do:</strong> {escape(verdict.remedy)}</p>"
        cards += (
            f'<article class="card verdict {verdict.grade}"><h3>{verdict.key.capitalize()}</h3>'
            f'<div class="grade"><span aria-hidden="true">{sign}</span> {said}</div>'
            f"<p>{escape(verdict.sentence)}</p>{remedy}</article>"
        )
    found = ""
    if content.findings:
        items = "".join(f"<li>{escape(each.sentence)}</li>" for each in content.findings)
        found = f'<section class="card look"><h2>Worth a look</h2><ul>{items}</ul></section>'
    missing = ""
    if "holdout" not in content.rows:
        missing = (
            '<p class="soft missing">No held-out real rows were given, so no score stands beside '
            "what new real rows would get.</p>"
        )
    return (
        f"<header><h1>{escape(content.title)}</h1>"
        f'<div class="soft">{escape(content.describe())} · '
        f"{escape(content.provenance.created)}</div>"
        f'</header>{alarm}<section><h2 class="unseen">Verdict</h2>'
        f'<div class="grid verdicts">{cards}</div>{missing}</section>{found}'
    )


def _scores(content: Content) -> str:
    held = "holdout" in content.rows
    rows = ""
    for section in content.sections:
        title = escape(section.title)
        rows += f'<tr class="group"><th colspan="3" scope="rowgroup">{title}</th></tr>'
        for line in section.measures:
            note = f'<span class="note">{escape(line.note)}</span>' if line.note else ""
            rows += (
                f'<tr><th scope="row">{escape(line.label)}{note}'
                f'<span class="why">{escape(line.meaning)}</span></th>'
                f"<td>{escape(value_of(line))}</td>"
                f"<td>{measured(line.reference, line.kind)}</td></tr>"
            )
    about = (
        "The column “held-out” shows what the held-out real rows score in the place of the "
        "synthetic ones. What they lack to 1 is chance, and more of it the fewer they are; a "
        "synthesizer calibrated to the real rows can score higher. (Utility: a model trained on "
        "real rows. Nearest-record share: .5. Distance ratio: 1.)"
        if held
        else "No held-out rows were given, so there are no reference values beyond utility, and "
        "no nearest-record share."
    )
    reference = "Held-out" if held else "Reference"
    return f"<p class='soft'>{about}</p>" + figures.scrolling(
        '<table class="scores"><caption class="unseen">All scores</caption><thead><tr>'
        f'<th scope="col">Measure</th><th scope="col">Synthetic</th><th scope="col">{reference}'
        f"</th></tr></thead><tbody>{rows}</tbody></table>",
        "All scores",
    )


def _value(value: float | str | None) -> str:
    if value is None:
        return "&ndash;"
    if isinstance(value, str):
        return escape(value)
    return f"{value:,.6g}" if abs(value) < 1e9 else number(value)


def _summary_cells(column: Column, which: str) -> str:
    summary: Summary = getattr(column, which)
    cells = f"<td>{percent(summary.missing)}</td><td>{summary.distinct:,}</td>"
    if column.hidden:
        return cells
    if summary.mean is None:
        levels = ""
        if isinstance(column.figure, Bars):
            fractions = getattr(column.figure, which)
            named = list(zip(column.figure.labels, fractions, strict=True))[:3]
            levels = ", ".join(f"{escape(shortened(n, 30))}: {percent(s)}" for n, s in named)
        return cells + f'<td class="why" colspan="{3 + len(QUANTILES)}">{levels}</td>'
    cells += f"<td>{'&ndash;' if summary.zeros is None else percent(summary.zeros)}</td>"
    values = (summary.mean, summary.sd, *summary.quantiles)
    return cells + "".join(f"<td>{_value(value)}</td>" for value in values)


def _columns(content: Content) -> str:
    quantiles = [f"{100 * fraction:g} %" for fraction in QUANTILES]
    heads = ["Column", "Score", "Rows", "Missing", "Distinct", "Zeros", "Mean", "Sd", *quantiles]
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = ""
    for column in content.columns:
        score = "&ndash;" if column.score is None else f"{column.score:.3f}"
        if column.reference is not None:
            score += f'<br><span class="soft small">held-out {column.reference:.3f}</span>'
        hidden = ""
        if column.hidden:
            hidden = (
                f'<td class="why" rowspan="2" colspan="{3 + len(QUANTILES)}">values not shown: '
                f"{escape(column.hidden)}</td>"
            )
        body += (
            f'<tbody><tr><th scope="rowgroup" rowspan="2">{escape(column.name)}'
            f'<span class="type">{escape(column.sdtype)}</span></th>'
            f'<td rowspan="2">{score}</td><td>real</td>'
            f"{_summary_cells(column, 'real')}{hidden}</tr>"
            f"<tr><td>synthetic</td>{_summary_cells(column, 'synthetic')}</tr>"
            "</tbody>"
        )
    return (
        "<p class='soft'>Each column of both tables, with its shape score. Means and quantiles "
        "are rounded; quantiles that fewer than ten rows lie beyond are left out (&ndash;).</p>"
        + figures.scrolling(
            '<table class="columns"><caption class="unseen">Summaries of the columns</caption>'
            f"<thead><tr>{head}</tr></thead>{body}</table>",
            "Summaries of the columns",
        )
    )


def shown_columns(columns: Sequence[Column], most: int) -> list[Column]:
    """The scored columns, or ``most`` with the lowest shape score, lowest first."""
    drawn = [column for column in columns if column.metric]
    if len(drawn) <= most:
        return drawn
    return sorted(drawn, key=lambda each: -1.0 if each.score is None else each.score)[:most]


def _shapes(content: Content, most: int) -> str:
    shown = shown_columns(content.columns, most)
    cards = ""
    for column in shown:
        if column.figure is None:
            why = column.hidden or "too few rows"
            drawn = f'<p class="soft small">Values not shown: {escape(why)}.</p>'
        elif isinstance(column.figure, Bars):
            drawn = figures.bars(column.figure, column.name)
        else:
            drawn = figures.histogram(column.figure, column.name)
        missing = ""
        if column.real.missing or column.synthetic.missing:
            missing = (
                f" · missing {percent(column.real.missing)} real, "
                f"{percent(column.synthetic.missing)} synthetic"
            )
        said = "no score" if column.score is None else f"{column.score:.3f}"
        cards += (
            f'<article class="card"><div class="head"><h3>{escape(column.name)}</h3>'
            f'<span class="score">{said}</span></div>'
            f'<div class="soft small">{escape(column.sdtype)}{missing}</div>{drawn}</article>'
        )
    note = ""
    scored = [column for column in content.columns if column.metric]
    if len(shown) < len(scored):
        note = (
            f" The table has {len(scored)} columns: shown are the {len(shown)} with the lowest "
            "score, lowest first."
        )
    return (
        "<p class='soft'>Each column by itself. The score is 1 minus the largest gap between the "
        "cumulative curves (numbers, datetimes) or 1 minus the total variation distance "
        f"(categories). Shares are of the rows that are not missing.{note}</p>{KEY}"
        f'<div class="grid">{cards}</div>'
    )


def _pair_row(pair: Pair, held: bool) -> list[str]:
    row = [f"{escape(pair.first)} &times; {escape(pair.second)}", f"{pair.score:.3f}"]
    if held:
        row.append("&ndash;" if pair.reference is None else f"{pair.reference:.3f}")
    return [*row, "yes" if pair.counts_by_default else "no"]


def _pairs(content: Content, most: int, most_folded: int) -> str:
    if not content.pairs:
        return ""
    held = "holdout" in content.rows
    cards = ""
    for pair in content.pairs:
        if pair.figure is None:
            continue
        if isinstance(pair.figure, Cells):
            drawn = figures.cells(pair.figure, pair.first, pair.second)
        elif isinstance(pair.figure, Boxes):
            category = pair.second if pair.figure.number == pair.first else pair.first
            drawn = figures.boxes(pair.figure, category)
        else:
            drawn = figures.scatter(pair.figure, pair.first, pair.second)
        cards += (
            f'<article class="card"><div class="head"><h3>{escape(pair.first)} &times; '
            f'{escape(pair.second)}</h3><span class="score">{pair.score:.3f}</span></div>'
            f"{drawn}</article>"
        )
    heads = ["Pair", "Score", *(["Held-out"] if held else []), "Counts by default"]
    rows = [_pair_row(pair, held) for pair in content.pairs]
    captions = "Pairs with the lowest scores", "Further pairs"
    order = "score farthest below that of the held-out rows" if held else "lowest score"
    return (
        f"<p class='soft'>How two columns go together, the pairs with the {order} first.</p>{KEY}"
        f'<div class="grid wide">{cards}</div><h3 style="margin:22px 0 8px">Scores of pairs</h3>'
        + figures.long_table(heads, rows, captions, "pairs", most, most_folded)
    )


def _associations(content: Content, most: int) -> str:
    if content.associations is None:
        return ""
    count = len(content.associations.columns)
    note = f" Shown are the first {most} columns of {count}." if count > most else ""
    maps = "".join(
        f'<div class="card">{figures.associations(content.associations, kind, most)}</div>'
        for kind in ("real", "synthetic", "difference")
    )
    return (
        "<p class='soft'>Pearson correlation of two numbers (-1 to 1), Cramér's V of any other "
        "pair (0 to 1), numbers cut at the tenths of the real rows. The colours of the difference "
        f"are three times as strong.{note}</p>"
        f'<div class="maps">{maps}</div>'
    )


def _detection(content: Content) -> str:
    found = content.detection
    aucs = ", ".join(f"{auc:.3f}" for auc in found.aucs)
    note = content.measure("detection.auc").note
    said = f"<p><strong>{escape(note)}</strong></p>" if note else ""
    return (
        "<p class='soft'>Boosted trees are trained to tell synthetic from real rows "
        f"({found.rows:,} of each, {len(found.aucs)} folds, AUC {aucs}). The score is 1 &minus; "
        "(2 AUC &minus; 1), and 1 where the AUC is below one half. The bars show which columns "
        f"they rely on: the AUC lost when the values of a column are shuffled.</p>{said}"
        f'<div class="card curve">{figures.telling(found.telling[:10])}</div>'
    )


def _distances(content: Content) -> str:
    about = (
        "The two curves should lie on each other: a synthetic curve to the left is nearer to the "
        "training rows than new real rows are."
        if content.distances.holdout is not None
        else "Without held-out rows nobody knows how near new real rows would lie."
    )
    return (
        "<p class='soft'>How far each row is from the closest training row: differences of "
        "numbers as a share of the training range plus 1 for each category that differs. "
        f'{about}</p><div class="card curve">{figures.distances(content.distances)}</div>'
    )


def _rare(content: Content) -> str:
    if not content.rare:
        return ""
    held = "holdout" in content.rows

    def found(count: int | None, total: int) -> str:
        return "&ndash;" if count is None or not total else f"{count:,} of {total:,}"

    heads = ["Column", "Levels of ten rows and more, in synthetic rows"]
    heads += ["in held-out rows"] if held else []
    heads += ["Rarer levels, in synthetic rows"]
    heads += ["in held-out rows"] if held else []
    heads += ["Rows with other levels, real", "synthetic"]
    rows = []
    for each in content.rare:
        row = [escape(each.column), found(each.frequent_synthetic, each.frequent)]
        row += [found(each.frequent_holdout, each.frequent)] if held else []
        row += [found(each.rare_synthetic, each.rare)]
        row += [found(each.rare_holdout, each.rare)] if held else []
        rows.append([*row, percent(each.rows), percent(each.rows_synthetic)])
    return (
        "<p class='soft'>Generators lose rare levels first. Levels of fewer than ten real rows "
        "are counted, not named.</p>" + figures.table(heads, rows, "Coverage of levels")
    )


def _validity(content: Content) -> str:
    about = (
        "<p class='soft'>Rows that break what the metadata and the real rows say. A few values "
        "beyond the range of the real rows are what new real rows have, too.</p>"
    )
    if not content.violations:
        return about + "<p>No synthetic row breaks a rule.</p>"
    held = "holdout" in content.rows
    rows = []
    for each in content.violations:
        row = [escape(each.column), escape(each.kind), f"{each.count:,}", percent(each.fraction)]
        rows.append([*row, percent(each.real), *([percent(each.holdout)] if held else [])])
    heads = ["Column", "Rule broken", "Rows", "Synthetic", "Real", *(["Held-out"] if held else [])]
    return about + figures.table(heads, rows, "Rows that break a rule")


def _training(content: Content) -> str:
    if content.losses is None:
        return ""
    return (
        "<p class='soft'>Losses of a Wasserstein GAN do not measure quality: look for curves that "
        f'settle, not for low values.</p><div class="card curve">{figures.losses(content.losses)}'
        "</div>"
    )


def _left_out(content: Content) -> str:
    if not content.left_out:
        return ""
    names = ", ".join(f"{name} ({why})" for name, why in content.left_out.items())
    return f"<p>Not scored: {escape(names)}.</p>"


def _provenance(content: Content) -> str:
    known = content.provenance
    rows = [["Made", escape(known.created)], ["Seed", str(known.seed)]]
    rows.append(["Versions", escape(", ".join(f"{n} {v}" for n, v in known.versions.items()))])
    for stamp in known.files:
        rows.append(
            [
                f"File, {escape(stamp.role)}",
                f"{escape(stamp.name)}<br><code>SHA-256 {escape(stamp.sha256)}</code>",
            ]
        )
    for name, value in (known.model or {}).items():
        rows.append([escape(name.replace("_", " ")), escape(value)])
    tables = figures.table(["What", "Value"], rows, "Provenance", "facts")
    if known.parameters:
        given = [[escape(name), escape(value)] for name, value in known.parameters.items()]
        tables += figures.values_of(
            "Parameters of the synthesizer",
            figures.table(["Parameter", "Value"], given, "Parameters", "facts"),
        )
    return (
        "<p class='soft'>Scores of other versions or thresholds are not comparable. Detection and "
        "utility: scikit-learn's histogram gradient boosting with its defaults. Distances and "
        "copies can show a leak but not prove that there is none.</p>" + tables
    )
