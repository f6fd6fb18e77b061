"""What the server says reaches the page with a code and values; the page has words for every code in both languages."""

import ast
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from ganvas.editing.recipe import STEPS
from ganvas.errors import GanvasError
from ganvas.fields import fields_of
from ganvas.training.generator.config import TrainConfig
from ganvas.web.error_codes import CODES, code_of
from ganvas.web.errors import KIND_OF_STATUS
from ganvas.weights.catalogue import entries

from .browser import drop, expect, needs_chromium, painted

PAGE = Path(__file__).parents[2] / "ganvas" / "web" / "page" / "js"
WEB, PACKAGE = PAGE.parents[1], PAGE.parents[2]
SHIPPED = PACKAGE / "editing" / "shipped"
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
    sources = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py") if "error_codes" not in path.name)
    sources = re.sub(r'"\s*\n?\s*f?"', "", sources)  # a message over several lines
    for code, pattern in CODES:
        pieces = re.split(r"\(\?P?<?[^)]*\)|\\.|\[.*?\]\+?|[.*+?()|]", pattern.pattern)
        longest = max(pieces, key=len).strip("'")
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


RECIPE = {"format": "ganvas-recipe-1", "model": "cats", "fingerprint": "1" * 64, "steps": []}


def test_what_is_refused_below_the_web_carries_its_code(studio):
    here = f"/api/sessions/{studio.seed()['id']}"
    calls = [
        ("post", "/set", {"direction": "wings", "amount": 1}, "no_slider", {"name": "wings"}),
        ("post", "/set", {"direction": "smile", "amount": "auto"}, "no_auto", {"name": "smile"}),
        ("post", "/do", {"step": "wish"}, "unknown", {"name": "wish"}),
        (
            "post",
            "/do",
            {"step": "mix", "seed": 1, "strength": 2},
            "range",
            {"name": "strength", "low": "0", "high": "1"},
        ),
        ("post", "/do", {"step": "stylise", "style": "mine"}, "no_style", {}),
        ("put", "/recipe", {"steps": []}, "recipe_damaged", {}),
        ("put", "/recipe", RECIPE, "other_model", {"name": "cats"}),
        ("post", "/drag", {"points": [[900, 900]], "targets": [[1, 1]]}, "point_outside", {}),
        ("post", "/upscale", {"model": "realesrgan-x4plus", "scale": 4}, "model_absent", {"name": "realesrgan-x4plus"}),
    ]
    for method, path, body, code, values in calls:
        answer = getattr(studio.http, method)(here + path, json=body).json()
        error = answer.get("error") or studio.wait(answer)["error"]
        assert (error["code"], {**error["values"], **values}) == (code, error["values"]), error


def test_a_message_without_a_code_stays_as_it_is():
    assert code_of("the loss is not finite from the first step on; use a lower lr (3)") == (None, {})


def refusals(files):
    """(file, line, message) of all that is raised there; values stand as 7, and as 'x'."""
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                messages = [arg for arg in node.exc.args if isinstance(arg, ast.JoinedStr | ast.Constant)]
                texts = [text for text in map(filled_in, messages) if isinstance(text, str)]
                if texts and ast.unparse(node.exc.func) not in CAUGHT:
                    yield path.name, node.lineno, texts[-1]


CAUGHT = ("ValueError", "ConnectionError", "error")  # on the way up, or made of another text


def filled_in(node):
    """A message as it may come out."""
    if isinstance(node, ast.Constant):
        return node.value
    values = {ord("r"): "'x'"}
    return "".join(
        part.value if isinstance(part, ast.Constant) else values.get(part.conversion, "7") for part in node.values
    )


def test_whatever_the_server_refuses_has_a_code():
    before_it_serves = ("config.py", "serve.py")
    found = list(refusals(path for path in sorted(WEB.rglob("*.py")) if path.name not in before_it_serves))
    assert len(found) > 60
    assert [one for one in found if code_of(one[2])[0] is None] == []


# Where a user of the page is refused below the web. "expects" speaks to whoever writes Python.
BELOW = [
    *(f"session/{name}.py" for name in "auto_amount dragging history photo_edits photo_parts plain_session".split()),
    *(f"session/{name}.py" for name in "plan project_file projects saying session stored_photo variants".split()),
    *(f"editing/{name}.py" for name in "direction_files drag layers mix move recipe regions step style".split()),
    *(f"editing/discovery/{name}.py" for name in "codes samples sefa".split()),
    "editing/words",
    *(f"images/{name}.py" for name in ("decode", "limits")),
    *(f"{name}.py" for name in ("features/faces", "translation", "upscaling/tiles", "models/seeds")),
    "weights/catalogue",
]
NOT_OF_THE_PAGE = (
    "there is no column",
    "channels are only for space 's'",
    "a network object already has",
    "at least one seed is needed",
    "weights are downloaded from https",
    "a file needs a plain name",
    "7: there is no file",
)


def test_whatever_the_packages_below_refuse_a_user_of_the_page_has_a_code():
    places = [PACKAGE / name for name in BELOW]
    files = [file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    found = [one for one in refusals(files) if " expects " not in one[2] and not one[2].startswith(NOT_OF_THE_PAGE)]
    assert len(found) > 100
    assert [one for one in found if code_of(one[2])[0] is None] == []


def test_every_kind_of_error_has_words_in_both_languages():
    """So no English sentence stands alone: what has no code is quoted below these words."""
    errors, kinds = [GanvasError], {*KIND_OF_STATUS.values(), "Error", "Internal"}
    while errors:
        error = errors.pop()
        errors += error.__subclasses__()
        reaches = error.__module__.startswith(("ganvas.errors", "ganvas.session", "ganvas.web"))
        kinds |= {error.__name__} if reaches else set()
    assert len(kinds) > 25
    for language in ("en", "ko"):
        assert {f"refused.kind.{kind}" for kind in kinds} <= table(language).keys()


@needs_chromium
def test_a_refusal_is_worded_in_korean(open_page, studio):
    page = open_page(locale="ko-KR")
    drop(page, ("bad.png", b"no picture", "image/png"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("열 수 있는 그림이 아닙니다")
    assert not re.search(r"[A-Za-z]+ [a-z]+ [a-z]+", alert.inner_text().replace("the picture", ""))
    quoted = page.evaluate(
        """async () => {
          const { ApiError } = await import("/static/js/api.js");
          const refused = { kind: "BadInput", message: "too odd", hint: "stop", code: null };
          const { message, hint } = new ApiError(422, refused);
          return [message, hint];
        }"""
    )
    assert quoted == ["입력이 맞지 않습니다", "프로그램의 설명: “too odd. stop”"]
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
    assert "여기서 학습한 모델: tiny" in texts[-1]
    lines = {line for text in texts for line in text.splitlines() if not HANGUL.search(line)}
    assert [line for line in lines if re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", line)] == []
