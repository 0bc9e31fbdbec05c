"""The page in a real browser: Chromium draws it, and axe-core reads it as screen readers do."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting.report import build_comparison, build_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install 'sdv-wgangp[test]'"
)
AXE = importlib.util.find_spec("axe_playwright_python")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH"),
    pytest.mark.skipif(AXE is None, reason="needs axe-playwright-python, for its axe.min.js"),
]

WIDTHS, SCHEMES = (375, 768, 1600), ("light", "dark")
LONG = "a_rather_long_name_of_a_column_that_nobody_would_want_to_type_twice"


def people(rows: int, seed: int) -> pd.DataFrame:
    """All kinds of columns, long names and levels, missing values, a key, an empty column."""
    rng = np.random.default_rng(seed)
    age = rng.normal(45, 12, rows).round()
    table = pd.DataFrame(
        {
            "key": np.arange(rows) + 1_000 * seed,
            "name": [f"person {k}" for k in rng.integers(0, 10**6, rows)],
            "age": age,
            "income": np.exp(7 + age / 30 + 0.4 * rng.normal(size=rows)),
            "since": pd.Timestamp("2010-01-01")
            + pd.to_timedelta(rng.integers(0, 4_000, rows), "D"),
            LONG: rng.choice(["a level of many words, as people write them", "x" * 50], rows),
            "group": np.where(age + 6 * rng.normal(size=rows) > 45, "senior", "junior"),
            "town": rng.choice([f"town {k}" for k in range(20)], rows),
            "empty": np.nan,
        }
    )
    table.loc[rng.random(rows) < 0.1, "age"] = np.nan
    return table


COLUMNS = {
    "key": {"sdtype": "id"},
    "name": {"sdtype": "categorical"},
    "age": {"sdtype": "numerical"},
    "income": {"sdtype": "numerical"},
    "since": {"sdtype": "datetime"},
    LONG: {"sdtype": "categorical"},
    "group": {"sdtype": "categorical"},
    "town": {"sdtype": "categorical"},
    "empty": {"sdtype": "numerical"},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A report with all sections, one of a copy, and three tables side by side."""
    folder = tmp_path_factory.mktemp("pages")
    real, metadata = people(500, 0), {"columns": COLUMNS, "primary_key": "key"}
    losses = pd.DataFrame({"Epoch": range(30), "Generator Loss": np.linspace(1, 0, 30)})
    wrong = people(500, 1).assign(income=lambda table: table["income"] * 3)
    common = {"target": "group", "holdout": people(300, 2)}
    full = build_report(
        real, wrong, metadata, loss_values=losses, title="A report", files={"real": __file__},
        model=_Model(), **common,
    )  # fmt: skip
    tables = {"ours": people(500, 3), "a generator with a long name": wrong, "copy": real}
    several = build_comparison(real, tables, metadata, files={"ours": __file__}, **common)
    week = pd.to_timedelta(np.arange(500) // 50 * 7, "D")
    visits = [
        table.assign(
            key=np.arange(500) % 50 + 1_000 * seed, since=pd.Timestamp("2020-01-01") + week
        )
        for seed, table in enumerate((people(500, 0), wrong, people(500, 2)))
    ]
    by_key = build_report(
        *visits[:2], metadata | {"primary_key": None}, holdout=visits[2], sequence_key="key",
        sequence_index="since",
    )  # fmt: skip
    return {
        "sequences": by_key.to_html(folder / "sequences.html"),
        "full": full.to_html(folder / "full.html"),
        "copy": build_report(real, real, metadata, **common).to_html(folder / "copy.html"),
        "several": several.to_html(folder / "several.html"),
    }


class _Model:
    def get_parameters(self):
        return {"epochs": 30, "generator_dim": (256, 256)}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def look(browser, pages):
    """Opens a page: ``look(name, width, scheme)``."""
    contexts = []

    def opened(name: str, width: int = 1600, scheme: str = "light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(pages[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


NAMES = ("full", "several", "sequences")
# What the others have beside the full page are its alarm, and more colours.
VIEWS = [
    *zip(["full"] * 3, WIDTHS, ("dark", "light", "dark"), strict=True),
    *itertools.product(["copy", "several"], [768], SCHEMES),
    ("sequences", 375, "light"),
    ("sequences", 1600, "dark"),
]


@pytest.mark.parametrize(("name", "width", "scheme"), VIEWS)
def test_axe_finds_nothing(look, name, width, scheme):
    page = look(name, width, scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground.strip("rgb()").split(","))
    assert (brightness > 600) == (scheme == "light")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.add_script_tag(path=Path(AXE.origin).parent / "axe.min.js")
    found = page.evaluate("axe.run(document)")
    assert len(found["passes"]) > 15
    assert [
        (v["id"], [n["html"][:120] for n in v["nodes"][:3]]) for v in found["violations"]
    ] == []


# What reaches beyond the window or its own frame, unless the frame scrolls.
CLIPPED = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  for (const each of document.querySelectorAll('main *')) {
    if (each.closest('.scroll') && !each.matches('.scroll')) continue;
    if (each.closest('.unseen, svg')) continue;
    const box = each.getBoundingClientRect();
    if (box.width && (box.right > wide + 1 || box.left < -1))
      found.push([each.tagName, each.className, each.textContent.slice(0, 40)]);
    if (each.matches('.card, figure, td, th') && each.scrollWidth > each.clientWidth + 1)
      found.push(['inside', each.tagName, each.textContent.slice(0, 40)]);
  }
  for (const text of document.querySelectorAll('svg text')) {
    const own = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();
    if (own.left < all.left - 1 || own.right > all.right + 1 || own.bottom > all.bottom + 1)
      found.push(['text', text.textContent, own.left - all.left, own.right - all.right]);
  }
  return found;
}"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_clipped_and_the_page_does_not_scroll_sideways(look, name, width):
    page = look(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CLIPPED) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_text_of_figures_can_be_read(look, name, width):
    texts = look(name, width).locator("svg text")
    heights = texts.evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
    assert len(heights) > 15
    assert min(heights) > 9
    assert max(heights) < 30


@pytest.mark.parametrize("width", WIDTHS)
def test_every_heading_is_seen(look, width):
    page = look("full", width)
    headings = page.locator("h1, h2:not(.unseen), h3, table:visible thead th:not(:empty)")
    seen = headings.evaluate_all(
        """all => all.map(each => {
          const box = each.getBoundingClientRect(), style = getComputedStyle(each);
          return box.width > 8 && box.height > 8 && style.visibility === 'visible'
            && parseFloat(style.fontSize) >= 11 && each.textContent.trim() !== '';
        })"""
    )
    assert len(seen) > 60
    assert all(seen)
    titles = headings.evaluate_all("all => all.map(each => each.textContent)")
    for title in ("Fidelity", "Columns", "Pair trends", "Rare levels", "Validity", "Provenance"):
        assert title in titles


@pytest.mark.parametrize("width", [375, 1600])
def test_the_keyboard_reaches_what_is_folded_or_scrolls(look, width):
    page = look("full", width)
    page.evaluate(
        """[...document.querySelectorAll('a[href], summary, .scroll')].forEach(
          (each, place) => each.dataset.place = place)"""
    )
    wanted = page.locator("[data-place]:visible").evaluate_all(
        "all => all.map(each => each.dataset.place)"
    )
    reached = []
    for _ in range(len(wanted) + 20):
        page.keyboard.press("Tab")
        place = page.evaluate("document.activeElement.dataset.place")
        if place in reached:
            break
        reached += [place] if place is not None else []
    assert reached == wanted
    first = page.locator("summary").first
    first.focus()
    page.keyboard.press("Enter")
    assert first.evaluate("each => each.parentElement.open")
    assert first.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"


def test_the_first_screen_says_whether_to_share(look):
    page = look("copy", 1600)
    alarm = page.get_by_role("alert")
    assert "Do not share" in alarm.inner_text()
    assert alarm.bounding_box()["y"] < 300
    page = look("full", 1600)
    for verdict in ("Fidelity", "Utility", "Privacy"):
        box = page.get_by_role("heading", name=verdict, exact=True).bounding_box()
        assert box["y"] < 500
    page = look("several", 1600)
    assert page.get_by_role("alert").inner_text().startswith("✕ Do not share copy")
    grades = page.locator(".verdicts dt").all_inner_texts()
    named = [grade.split(":")[0].lower() for grade in grades]
    assert [named.count(name) for name in ("fidelity", "utility", "privacy")] == [3, 3, 3], named
