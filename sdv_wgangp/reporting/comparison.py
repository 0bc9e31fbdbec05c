"""Several synthetic tables on one page: verdicts, scores and figures side by side."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from sdv_wgangp.reporting import figures
from sdv_wgangp.reporting.data import Bars, Column, Content, Histogram, Measure
from sdv_wgangp.reporting.formats import few, measured, percent, value_of
from sdv_wgangp.reporting.page import GRADES, document

Contents = Mapping[str, Content]
# Measures of which more is better, and the best value is marked.
HIGHER = ("quality", "utility", "validity")


def render(
    title: str,
    contents: Contents,
    *,
    most_drawn: int = 40,
    most_pairs: int = 10,
    most_folded: int = 500,
) -> str:
    """The whole page as text.

    Args:
        title: Shown at the top.
        contents: ``name -> content`` of the report of each table.
        most_drawn: Columns that have a figure each, those with the lowest scores first.
        most_pairs: Pairs in the table of their scores.
        most_folded: Pairs in that table and its folded part; the JSON has all.
    """
    first = next(iter(contents.values()))
    sections = [
        ("scores", "Scores", _scores(contents)),
        ("columns", "Columns", _columns(contents)),
        ("shapes", "Column shapes", _shapes(contents, most_drawn)),
        ("pairs", "Pair trends", _pairs(contents, most_pairs, most_folded)),
        ("detection", "Detection", _detection(contents)),
        ("distances", "Distances to training rows", _distances(contents)),
        ("rare", "Rare levels", _rare(contents)),
        ("validity", "Validity", _validity(contents)),
        ("shown", "What is not shown", f"<p>{escape(first.protection)}</p>"),
        ("provenance", "Provenance", _provenance(contents)),
    ]
    return document(title, _top(title, contents), sections)


def _first(contents: Contents) -> Content:
    return next(iter(contents.values()))


def _held(contents: Contents) -> bool:
    return "holdout" in _first(contents).rows


def _top(title: str, contents: Contents) -> str:
    first = _first(contents)
    alarms = "".join(
        f'<div class="alarm" role="alert"><strong>✕ Do not share {escape(name)}</strong>'
        f"{escape(content.alarm)}</div>"
        for name, content in contents.items()
        if content.alarm
    )
    cards = ""
    for place, (name, content) in enumerate(contents.items()):
        verdicts = ""
        for verdict in content.verdicts:
            sign, said = GRADES[verdict.grade]
            verdicts += (
                f'<div class="{verdict.grade}"><dt>{verdict.key.capitalize()}: '
                f'<span aria-hidden="true">{sign}</span> {said}</dt>'
                f"<dd>{escape(verdict.sentence)}</dd></div>"
            )
        cards += (
            f'<article class="card"><h3><i class="t{place}"></i>{escape(name)}</h3>'
            f'<div class="soft small">{content.rows["synthetic"]:,} rows</div>'
            f'<dl class="grades">{verdicts}</dl></article>'
        )
    items = "".join(
        f"<li>{escape(name)}: {escape(each.sentence)}</li>"
        for name, content in contents.items()
        for each in content.findings
    )
    found = ""
    if items:
        found = f'<section class="card look"><h2>Worth a look</h2><ul>{items}</ul></section>'
    missing = ""
    if not _held(contents):
        missing = (
            '<p class="soft missing">No held-out real rows were given, so no score stands beside '
            "what new real rows would get.</p>"
        )
    return (
        f"<header><h1>{escape(title)}</h1>"
        f'<div class="soft">{escape(first.describe_real())} · {escape(first.provenance.created)}'
        f'</div></header>{alarms}<section><h2 class="unseen">Verdicts</h2>'
        f'<div class="grid verdicts">{cards}</div>{missing}</section>{found}'
    )


def _key(contents: Contents) -> str:
    names = [("real", "real"), *((f"t{place}", name) for place, name in enumerate(contents))]
    spans = "".join(f'<span><i class="{kind}"></i>{escape(name)}</span>' for kind, name in names)
    return f'<div class="key">{spans}</div>'


def _best(line: Measure, contents: Contents) -> float | None:
    """The highest value of a measure of which more is better; copies do not count."""
    section = line.key.split(".")[0]
    higher = section in HIGHER or line.key in ("detection.score", "detection.unseen")
    higher = higher or line.key.startswith("sequences.detection.")
    if not higher or line.kind != "score":
        return None
    values = [c.measure(line.key).value for c in contents.values() if not c.alarm]
    return max((value for value in values if value is not None), default=None)


def _cell(measure: Measure, best: float | None) -> str:
    text = escape(value_of(measure))
    if best is not None and measure.value == best:
        text = f"<strong>{text}</strong>"
    return f"<td>{text}</td>"


def _scores(contents: Contents) -> str:
    first = _first(contents)
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in contents)
    reference = "Held-out" if _held(contents) else "Reference"
    body = ""
    for section in first.sections:
        body += (
            f'<tr class="group"><th colspan="{len(contents) + 2}" scope="rowgroup">'
            f"{escape(section.title)}</th></tr>"
        )
        for line in section.measures:
            best = _best(line, contents)
            cells = "".join(_cell(c.measure(line.key), best) for c in contents.values())
            body += (
                f'<tr><th scope="row">{escape(line.label)}'
                f'<span class="why">{escape(line.meaning)}</span></th>{cells}'
                f"<td>{measured(line.reference, line.kind)}</td></tr>"
            )
    return (
        "<p class='soft'>The last column shows what held-out real rows score in the place of the "
        "synthetic ones: that is as good as it gets, up to chance. The best table is bold where "
        "more is better; copies do not count.</p>"
        + figures.scrolling(
            '<table class="scores"><caption class="unseen">All scores</caption><thead><tr>'
            f'<th scope="col">Measure</th>{names}<th scope="col">{reference}</th></tr></thead>'
            f"<tbody>{body}</tbody></table>",
            "All scores",
        )
    )


def _by_name(contents: Contents) -> dict[str, list[Column]]:
    """Each column in all tables."""
    return {
        column.name: [
            next(each for each in content.columns if each.name == column.name)
            for content in contents.values()
        ]
        for column in _first(contents).columns
    }


def _three(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.3f}"


def _columns(contents: Contents) -> str:
    held = _held(contents)
    rows = []
    for name, columns in _by_name(contents).items():
        row = [f'{escape(name)} <span class="soft small">{escape(columns[0].sdtype)}</span>']
        row += [_three(column.score) for column in columns]
        rows.append(row + ([_three(columns[0].reference)] if held else []))
    heads = ["Column", *contents, *(["Held-out"] if held else [])]
    return "<p class='soft'>The shape score of each column.</p>" + figures.table(
        heads, rows, "Shape scores of the columns"
    )


def _shapes(contents: Contents, most: int) -> str:
    scored = {
        name: columns
        for name, columns in _by_name(contents).items()
        if any(column.metric for column in columns)
    }

    def worst(name: str) -> float:
        return min(-1.0 if each.score is None else each.score for each in scored[name])

    shown = list(scored) if len(scored) <= most else sorted(scored, key=worst)[:most]
    cards = ""
    for name in shown:
        columns = scored[name]
        found = {each: c.figure for each, c in zip(contents, columns, strict=True)}
        bars = {each: figure for each, figure in found.items() if isinstance(figure, Bars)}
        bins = {each: figure for each, figure in found.items() if isinstance(figure, Histogram)}
        if len(bars) == len(found):
            drawn = figures.bars_of_several(bars, name)
        elif len(bins) == len(found):
            drawn = figures.histogram_of_several(bins, name)
        else:
            why = next(filter(None, (column.hidden for column in columns)), "too few rows")
            drawn = f'<p class="soft small">Values not shown: {escape(why)}.</p>'
        cards += (
            f'<article class="card"><div class="head"><h3>{escape(name)}</h3></div>'
            f'<div class="soft small">{escape(columns[0].sdtype)}</div>{drawn}</article>'
        )
    note = ""
    if len(shown) < len(scored):
        note = (
            f" The tables have {len(scored)} columns: shown are the {len(shown)} with the lowest "
            "score in any of them."
        )
    return (
        f"<p class='soft'>Shares are of the rows that are not missing.{note}</p>{_key(contents)}"
        f'<div class="grid">{cards}</div>'
    )


def _pairs(contents: Contents, most: int, most_folded: int) -> str:
    first, held = _first(contents), _held(contents)
    scores = [
        {(pair.first, pair.second): pair.score for pair in content.pairs}
        for content in contents.values()
    ]
    references = {(pair.first, pair.second): pair.reference for pair in first.pairs}

    def lost(pair: tuple[str, str]) -> float:
        reference = references[pair]
        return min(own.get(pair, 1.0) for own in scores) - (1 if reference is None else reference)

    rows = []
    for pair in sorted(references, key=lost):
        row = [f"{escape(pair[0])} &times; {escape(pair[1])}"]
        row += [_three(own.get(pair)) for own in scores]
        rows.append(row + ([_three(references[pair])] if held else []))
    if not rows:
        return ""
    heads = ["Pair", *contents, *(["Held-out"] if held else [])]
    captions = "Scores of pairs", "Further pairs"
    order = "farthest below that of the held-out rows" if held else "lowest"
    return (
        f"<p class='soft'>How two columns go together, the pairs whose score is {order} in any of "
        "the tables first.</p>"
        + figures.long_table(heads, rows, captions, "pairs", most, most_folded)
    )


def _detection(contents: Contents) -> str:
    rows = []
    for name, content in contents.items():
        found = content.detection
        telling = [each.column for each in found.telling[:5] if each.lost > 0.005]
        rows.append(
            [
                escape(name),
                _three(content.measure("detection.auc").value),
                escape(few(telling)) or "&ndash;",
            ]
        )
    heads = ["Table", "AUC", "Columns that tell"]
    return (
        "<p class='soft'>How well boosted trees tell the rows of each table from real ones (.5 is "
        "a coin, 1 always right), and which columns they rely on.</p>"
        + figures.table(heads, rows, "Detection")
    )


def _distances(contents: Contents) -> str:
    found = {name: content.distances for name, content in contents.items()}
    about = (
        "Curves should lie on that of the held-out rows: one to the left of it is nearer to the "
        "training rows than new real rows are."
        if _held(contents)
        else "Without held-out rows nobody knows how near new real rows would lie."
    )
    return (
        "<p class='soft'>How far each row is from the closest training row: differences of "
        "numbers as a share of the training range plus 1 for each category that differs. "
        f'{about}</p><div class="card curve">{figures.distances_of_several(found)}</div>'
    )


def _rare(contents: Contents) -> str:
    first, held = _first(contents), _held(contents)
    rows = []
    for each in first.rare:
        own = [
            next(rare for rare in content.rare if rare.column == each.column)
            for content in contents.values()
            if any(rare.column == each.column for rare in content.rare)
        ]
        if len(own) < len(contents):
            continue
        row = [escape(each.column), f"{each.frequent:,} + {each.rare:,}"]
        row += [f"{rare.frequent_synthetic:,} + {rare.rare_synthetic:,}" for rare in own]
        row += [f"{each.frequent_holdout:,} + {each.rare_holdout:,}"] if held else []
        rows.append(row)
    if not rows:
        return ""
    heads = ["Column", "Real", *contents, *(["Held-out"] if held else [])]
    return (
        "<p class='soft'>How many levels of the real rows each table has: those of ten real rows "
        "and more + rarer ones.</p>" + figures.table(heads, rows, "Coverage of levels")
    )


def _validity(contents: Contents) -> str:
    found: dict[tuple[str, str], dict[str, float]] = {}
    real: dict[tuple[str, str], float] = {}
    for name, content in contents.items():
        for each in content.violations:
            found.setdefault((each.column, each.kind), {})[name] = each.fraction
            real[each.column, each.kind] = each.real
    if not found:
        return "<p>No synthetic row breaks a rule of the metadata or the real rows.</p>"
    rows = [
        [
            escape(column),
            escape(kind),
            *(percent(fractions.get(name, 0.0)) for name in contents),
            percent(real[column, kind]),
        ]
        for (column, kind), fractions in found.items()
    ]
    heads = ["Column", "Rule broken", *contents, "Real"]
    return (
        "<p class='soft'>Shares of rows that break what the metadata and the real rows say. A few "
        "values beyond the range of the real rows are what new real rows have, too.</p>"
        + figures.table(heads, rows, "Rows that break a rule")
    )


def _provenance(contents: Contents) -> str:
    known = _first(contents).provenance
    rows = [["Made", escape(known.created)], ["Seed", str(known.seed)]]
    rows.append(["Versions", escape(", ".join(f"{n} {v}" for n, v in known.versions.items()))])
    stamps = {
        (name if stamp.role == "synthetic" else stamp.role): stamp
        for name, content in contents.items()
        for stamp in content.provenance.files
    }
    for role, stamp in stamps.items():
        rows.append(
            [
                f"File, {escape(role)}",
                f"{escape(stamp.name)}<br><code>SHA-256 {escape(stamp.sha256)}</code>",
            ]
        )
    return figures.table(["What", "Value"], rows, "Provenance", "facts")
