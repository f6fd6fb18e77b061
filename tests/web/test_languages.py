"""What the server says reaches the page with a code and values; the page has words for every code in both languages."""

import ast
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from ganvas.editing.recipe import STEPS
from ganvas.fields import fields_of
from ganvas.training.generator.config import TrainConfig
from ganvas.web.error_codes import CODES, code_of
from ganvas.weights.catalogue import entries

from .browser import drop, expect, needs_chromium, painted

PAGE = Path(__file__).parents[2] / "ganvas" / "web" / "page" / "js"
SHIPPED = PAGE.parents[2] / "editing" / "shipped"
HANGUL = re.compile("[가-힣]")
ASKS = {"directions": "/api/directions/scorers", "training": "/api/presets", "models": "/api/models"}  # when entered


def joined(text):
    """Texts that go on over several lines in one."""
    return re.sub(r'":?\n +"', '": "', re.sub(r'" \+\n +"', "", text)) if '" +\n' in text else text


def table(language):
    """The texts of a language."""
    text = joined((PAGE / "i18n" / f"{language}.js").read_text("utf-8"))
    return dict(re.findall(r'^  "?([\w.+ -]+?)"?: (?:"|`)(.*)(?:"|`),$', text, re.M))


def test_every_code_has_words_in_both_languages():
    english, korean = table("en"), table("ko")
    for code, pattern in CODES:
        name = f"refused.{code}"
        assert english[name] and HANGUL.search(korean[name]), code
        for words in (english, korean):
            used = set(re.findall(r"{(\w+)}", words[name] + words.get(f"{name}.hint", "")))
            assert used <= set(pattern.groupindex), code


def test_every_code_is_of_a_message_that_is_raised():
    sources = "".join(
        path.read_text("utf-8") for path in (PAGE.parents[2]).rglob("*.py") if "error_codes" not in path.name
    )
    sources = re.sub(r'"\s*\n?\s*f?"', "", sources)  # a message over several lines
    for code, pattern in CODES:
        pieces = re.split(r"\(\?P?<?[^)]*\)|\\.|\[.*?\]\+?|[.*+?()|]", pattern.pattern)
        longest = max(pieces, key=len).rstrip("'")
        assert len(longest) >= 8 and longest in sources, (code, longest)


def test_korean_texts_are_korean():
    korean = table("ko")
    names = re.compile(r"[A-Za-z][A-Za-z0-9.+/-]*|{\w+}")
    english = [key for key, text in korean.items() if not HANGUL.search(text) and len(names.findall(text)) > 2]
    assert [key for key in english if not korean[key].startswith("pip install")] == []


def test_every_model_of_the_catalogue_is_described_in_korean():
    words = joined((PAGE / "i18n" / "models.js").read_text("utf-8"))
    described = {name for name, text in re.findall(r'^  "(.+?)": "(.+)",$', words, re.M) if HANGUL.search(text)}
    assert entries.ENTRIES.keys() <= described


def test_every_slider_that_ships_has_a_name_in_both_languages():
    shipped = {name for file in SHIPPED.glob("*.safetensors") for name in safe_open(file, "pt").keys()}
    assert len(shipped) > 20
    for language in ("en", "ko"):
        assert {f"direction.{name}" for name in shipped} <= table(language).keys()


def test_forms_of_the_server_are_worded_in_korean():
    words = joined((PAGE / "i18n" / "forms.js").read_text("utf-8"))
    worded = {name for name, text in re.findall(r'^  "(.+?)": "(.+)",$', words, re.M) if HANGUL.search(text)}
    panels = (PAGE / "panels" / "more-steps.js").read_text("utf-8")
    own = re.findall(r'"(\w+)"', re.search(r"OWN_PANEL = new Set\(\[(.*?)\]", panels, re.S)[1])
    others = {name: step for name, step in STEPS.items() if name not in own}
    assert set(others) <= worded and set(own) <= set(STEPS)
    for of, form in [*others.items(), ("training", TrainConfig)]:
        assert {f"{of}.{name}" for name in fields_of(form)} <= worded
        choices = {word for one in fields_of(form).values() for word in one.choices}
        assert of == "training" or {*fields_of(form), *choices} <= worded


def test_nothing_in_the_page_is_worded_outside_the_tables():
    literal = re.compile(
        r'el\(\s*"[a-z0-9]+",\s*{[^{}]*},\s*"([A-Z][^"]* [^"]*)",?\s*\)|(?:aria-label|title|placeholder): "([^"]+)"'
    )
    found = [(path.name, words) for path in PAGE.rglob("*.js") for words in literal.findall(path.read_text("utf-8"))]
    examples = {"0-5", "age, smile", "age, gender"}  # of what may be typed
    assert [(name, words) for name, words in found if words[1] not in examples] == []


@pytest.mark.parametrize(
    ("call", "code", "values"),
    [
        (lambda studio: studio.http.get("/api/sessions/none"), "no_session", {}),
        (lambda studio: studio.http.get("/api/projects/none"), "no_project", {}),
        (lambda studio: studio.http.get("/api/jobs/none"), "no_job", {}),
        (
            lambda studio: studio.http.post("/api/sessions", files={"photo": ("me.txt", b"words")}),
            "not_image",
            {"name": "the picture"},
        ),
        (
            lambda studio: studio.http.post("/api/sessions", files={"photo": ("a.jpg", b"")}),
            "file_empty",
            {"name": "a.jpg"},
        ),
        (
            lambda studio: studio.http.post(
                f"/api/sessions/{studio.open()['id']}/set", json={"direction": "x", "amount": 1}
            ),
            "not_inverted",
            {},
        ),
        (
            lambda studio: studio.http.post("/api/sessions", json={"seed": 1, "model": "nobody"}),
            "no_model",
            {"name": "nobody"},
        ),
    ],
)
def test_a_refusal_carries_its_code(studio, call, code, values):
    error = call(studio).json()["error"]
    assert (error["code"], error["values"]) == (code, values), error
    assert error["message"]


def test_a_message_without_a_code_stays_as_it_is():
    assert code_of("mix: strength must be a number from 0 to 1, got 2") == (None, {})


def refusals():
    """(file, line, message) of all that the server's own code raises while it serves; values stand as 7, and as 'x'."""
    for path in sorted((PAGE.parents[1]).rglob("*.py")):
        if path.name in ("config.py", "serve.py"):  # before it serves
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                messages = [arg for arg in node.exc.args if isinstance(arg, ast.JoinedStr | ast.Constant)]
                texts = [text for text in map(filled_in, messages) if isinstance(text, str)]
                if texts:
                    yield path.name, node.lineno, texts[-1]


def filled_in(node):
    """A message as it may come out."""
    if isinstance(node, ast.Constant):
        return node.value
    values = {ord("r"): "'x'"}
    return "".join(
        part.value if isinstance(part, ast.Constant) else values.get(part.conversion, "7") for part in node.values
    )


def test_whatever_the_server_refuses_has_a_code():
    found = list(refusals())
    assert len(found) > 60
    assert [one for one in found if code_of(one[2])[0] is None] == []


@needs_chromium
def test_a_refusal_is_worded_in_korean(open_page, studio):
    page = open_page(locale="ko-KR")
    drop(page, ("bad.png", b"no picture", "image/png"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("열 수 있는 그림이 아닙니다")
    assert not re.search(r"[A-Za-z]+ [a-z]+ [a-z]+", alert.inner_text().replace("the picture", ""))
    open_page.complaints[:] = [said for said in open_page.complaints if "status of 422" not in said]


@needs_chromium
def test_no_panel_says_an_english_sentence_in_korean(open_page, studio):
    page = open_page(locale="ko-KR")
    page.locator("#seed-go").click()
    expect(page.locator("[data-direction=smile]")).to_be_visible()
    texts = []
    for tab in ("adjust", "style", "enlarge", "variants", "history"):
        page.locator(f"#tabbutton-{tab}").click()
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        texts.append(page.locator("body").inner_text())
    for area in ASKS:
        with page.expect_response(re.compile(ASKS[area])):
            page.locator(f"[data-area={area}]").click()
        painted(page)
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        texts.append(page.locator("#workshop").inner_text())
    lines = {line for text in texts for line in text.splitlines() if not HANGUL.search(line)}
    assert [line for line in lines if re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", line)] == []
