"""The page on all screens, in all languages, and for those who listen or use keys alone."""

from __future__ import annotations

import re

import pytest
from visitor import ONE, SEVEN, Visit, draw, until, until_text

from live_server import Client

Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
pytest.importorskip("playwright.sync_api", reason="needs Playwright: nox -s live")

LANGUAGES = {"en": "What it sees", "ko": "무엇으로 보이나", "ja": "何に見えているか"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_in_every_language(visit: Visit, digits: Client, language: str) -> None:
    tab = visit(digits, locale={"en": "en-GB", "ko": "ko-KR", "ja": "ja-JP"}[language])
    draw(tab, ONE)
    assert tab.evaluate("document.documentElement.lang") == language
    assert LANGUAGES[language] in tab.inner_text("#score-box h2")
    tab.locator("[data-layer=conv1_1] .map").first.click()
    tab.wait_for_selector(".explained h3")
    for name in ("see", "train", "learn"):
        tab.click(f"#tab-{name}")
        text = tab.inner_text("body")
        assert (
            re.findall(r"\b(?:kind|state|set|explain|why|begin)_\w+|\{\w+\}|undefined", text) == []
        )
    for other, words in LANGUAGES.items():
        tab.select_option("#language", other)
        assert words in tab.inner_text("#score-box h2")
    tab.reload()
    tab.wait_for_selector("[data-ready]")
    assert tab.evaluate("document.documentElement.lang") == "ja"  # the last is kept


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(
    visit: Visit, digits: Client, width: int, scheme: str
) -> None:
    tab = visit(digits, width=width, height=800, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    draw(tab, ONE)
    for language in LANGUAGES:
        tab.select_option("#language", language)
        for name in ("see", "train", "learn"):
            tab.click(f"#tab-{name}")
            over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert tab.evaluate(over) <= 0, (language, name)
    tab.click("#tab-see")
    tab.locator("[data-layer=conv1_1] .map").first.click()
    tab.wait_for_selector(".explained h3")
    box = tab.locator("#inspector").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    tab.click("#theme")
    assert tab.evaluate("document.documentElement.dataset.theme") != scheme


def test_nothing_moves_while_one_draws(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, ONE)
    tab.wait_for_selector("#neighbours button:enabled")
    tab.wait_for_timeout(600)
    tab.evaluate(
        "() => { window.shifts = 0; new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) window.shifts += entry.value;"
        " }).observe({ type: 'layout-shift' }); }"
    )
    draw(tab, SEVEN)
    tab.wait_for_load_state("networkidle")
    tab.wait_for_timeout(1000)
    assert tab.evaluate("window.shifts") < 0.001


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_moves_while_the_page_opens(visit: Visit, digits: Client, width: int) -> None:
    tab = visit(digits, width=width)
    tab.wait_for_selector("#neighbours button:enabled")
    shifts = """() => new Promise((resolve) => {
        new PerformanceObserver((list) => resolve(
            list.getEntries().reduce((sum, entry) => sum + entry.value, 0)
        )).observe({ type: 'layout-shift', buffered: true });
        setTimeout(() => resolve(0), 500);
    })"""
    assert tab.evaluate(shifts) < 0.02


def test_a_class_that_is_chosen_is_asked_about(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, SEVEN)
    assert tab.locator("#overlay").is_hidden()
    tab.locator("#scores button").nth(7).click()
    until_text(tab, "#why", "speak for 7")
    assert tab.locator("#overlay").is_visible()


def test_a_view_is_brought_onto_a_phones_screen(visit: Visit, digits: Client) -> None:
    tab = visit(digits, width=390, height=844, has_touch=True, is_mobile=True)
    for name, title in (("train", "#train h2"), ("learn", "#learn h2"), ("see", "#pad")):
        tab.tap(f"#tab-{name}")
        bar = tab.locator(".tabs").bounding_box()
        top = tab.locator(title).first.bounding_box()["y"]
        assert 0 <= bar["y"] < bar["y"] + bar["height"] < top < 200, name
    # The whole answer is seen while one draws.
    last = tab.locator("#scores li").last.bounding_box()
    assert last["y"] + last["height"] < 844


def test_who_explains_a_map_with_keys_reads_on_there(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, ONE)
    tab.focus("#tab-see")
    tab.keyboard.press("Tab")  # a key was used last
    tab.focus("[data-layer=conv1_1] .map")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    until_text(tab, ".explained h3[aria-live=polite]", "Value at")
    assert tab.evaluate("document.activeElement.textContent") == "conv1_1, map 1"
    while tab.evaluate("document.activeElement.getAttribute('role')") != "application":
        tab.keyboard.press("Tab")
    told = tab.inner_text(".explained h3")
    tab.keyboard.press("ArrowDown")
    until(tab, f"document.querySelector('.explained h3').textContent !== {told!r}")
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.id") == "strip-conv1_1"


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
)
def test_axe_finds_nothing_that_keeps_people_out(
    visit: Visit, digits: Client, width: int, scheme: str
) -> None:
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    tab = visit(digits, width=width, color_scheme=scheme, bypass_csp=True)

    def check(state: str) -> None:
        tab.wait_for_load_state("networkidle")
        found = Axe().run(tab, options={"runOnly": rules})
        assert found.violations_count == 0, f"{state}: {found.generate_report()}"

    check("empty")
    draw(tab, SEVEN)
    tab.wait_for_selector("#neighbours button:enabled")
    tab.locator("#scores button").nth(3).click()
    check("asked why")
    tab.locator("[data-layer=conv1_2] .map").nth(2).click()
    tab.wait_for_selector("#inspector .thumbs li:nth-child(9)")
    tab.click(".explained summary")
    check("a number explained")
    tab.keyboard.press("Escape")
    tab.click("#tab-train")
    tab.select_option("#set-begin", "simple_convnet")
    tab.select_option("#set-epochs", "1")
    tab.click("#do-step")
    until_text(tab, "#train .note", "after step 1.")
    tab.wait_for_selector(".filters canvas")
    check("training")
    tab.click("#do-stop")
    until_text(tab, "#train .note", "was stopped")
    tab.click("#tab-learn")
    check("windows")


def test_everything_has_a_name_for_those_who_listen(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, ONE)
    tab.locator("[data-layer=conv1_1] .map").first.click()
    tab.wait_for_selector(".explained h3")
    nameless = """() => [...document.querySelectorAll(
        'button, select, input:not([hidden]), [tabindex="0"], [role=img]')].filter((one) =>
        one.checkVisibility() && !one.getAttribute('aria-label') && !one.textContent.trim()
        && !one.labels?.length).map((one) => one.outerHTML.slice(0, 120))"""
    for name in ("see", "train", "learn"):
        tab.click(f"#tab-{name}")
        assert tab.evaluate(nameless) == [], name
    tab.focus("#tab-learn")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.id") == "tab-see"
    assert tab.locator("#see").is_visible()
