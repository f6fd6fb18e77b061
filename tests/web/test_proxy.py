"""Behind a proxy, under a path of its own; and pages of other sites that may call."""

import re
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient

from ganvas.errors import BadConfig
from ganvas.web.app import PAGE, make_app
from ganvas.web.config import StudioConfig
from ganvas.web.serve import studio_url

from .conftest import changed, png

PUBLIC = "https://photos.example"
FORWARDED = {"x-forwarded-host": "photos.example", "x-forwarded-proto": "https", "x-forwarded-for": "9.9.9.9, 10.0.0.7"}


@pytest.fixture
def ask(config):
    """ask(address="127.0.0.1", **config) → a client at that address."""
    clients = []

    def start(address="127.0.0.1", **fields):
        app = make_app(changed(config, **fields))
        clients.append(TestClient(app, base_url="http://127.0.0.1", client=(address, 1), follow_redirects=False))
        clients[-1].__enter__()
        return clients[-1]

    yield start
    for client in clients:
        client.__exit__()


@pytest.mark.parametrize("prefix", ["/studio", ""], ids=["prefix left on", "prefix taken off"])
def test_the_studio_under_a_path(ask, prefix):
    """`prefix`: what the proxy leaves of the path that the reader's browser asks for, https://…/studio/…"""
    client = ask(root_path="/studio")
    page = client.get(f"{prefix}/")
    asked = [urljoin("/studio/", one) for one in re.findall(r'(?:href|src)="([^"]+)"', page.text)]
    docs = client.get(f"{prefix}/docs").text
    asked += [urljoin("/studio/docs", one) for one in re.findall(r'(?:href|src)="([^"]+)"', docs)]
    assert len(asked) >= 9
    for one in asked:
        assert one.startswith("/studio/") and client.get(prefix + one.removeprefix("/studio")).status_code == 200, one
    opened = client.post(f"{prefix}/api/sessions", files={"photo": ("me.png", png(), "image/png")}).json()
    with client.websocket_connect(f"ws://127.0.0.1{prefix}/api/sessions/{opened['id']}/events") as socket:
        assert socket.receive_json()["type"] == "state"
    assert client.get(f"{prefix}/openapi.json").json()["servers"][0] == {"url": "/studio"}
    refused = client.post(f"{prefix}/api/sessions", json={"seed": 1}, headers={"content-length": str(2**40)})
    assert refused.status_code == 413  # limits and checks see the path, too
    assert client.get(f"{prefix}/api/info", headers={"origin": "https://evil.example"}).status_code == 403


def test_the_bare_path_leads_to_the_page(ask):
    answer = ask(root_path="/studio").get("/studio")
    assert (answer.status_code, answer.headers["location"]) == (307, "/studio/")
    assert studio_url(StudioConfig(root_path="/studio")) == "http://127.0.0.1:7860/studio/"


def test_the_pages_addresses_are_relative():
    """Whatever the page fetches goes through `addressOf`; imports and links name files beside them."""
    absolute = re.compile(r"""(?:href|src)[=:] ?["'`]/|fetch\(["'`]/|from ["']/|url\(["']?/|import\(["']/""")
    for file in PAGE.rglob("*.*"):
        if file.suffix in (".js", ".html", ".css"):
            assert not absolute.search(file.read_text("utf-8")), file.name


def test_what_a_proxy_says_counts_only_from_a_trusted_one(ask):
    headers = FORWARDED | {"origin": PUBLIC}
    trusting = ask("10.0.0.7", names=("photos.example",), trusted_proxies=("10.0.0.0/8",))
    assert trusting.post("/api/sessions", json={"seed": 1}, headers=headers).status_code == 200
    for address, fields in (("10.0.0.7", {}), ("192.168.0.1", {"trusted_proxies": ("10.0.0.0/8",)})):
        other = ask(address, names=("photos.example",), **fields)
        assert other.post("/api/sessions", json={"seed": 1}, headers=headers).status_code == 403
    unknown = headers | {"x-forwarded-host": "evil.example", "origin": "https://evil.example"}
    assert trusting.post("/api/sessions", json={"seed": 1}, headers=unknown).status_code == 403


def test_the_caller_is_the_one_before_the_trusted_proxies():
    from ganvas.web.proxy import ProxyMiddleware

    proxies = ProxyMiddleware(None, StudioConfig(trusted_proxies=("10.0.0.0/8",)))

    def unwrap(forwarded_for, type="http"):
        pairs = FORWARDED | {"x-forwarded-for": forwarded_for}
        headers = [(name.encode(), value.encode()) for name, value in pairs.items()]
        return proxies._unwrap({"type": type, "scheme": "x", "client": ("10.0.0.7", 1), "headers": headers})

    assert unwrap("1.1.1.1, 9.9.9.9, 10.0.0.1")["client"][0] == "9.9.9.9"  # 1.1.1.1 may be made up
    assert unwrap("10.0.0.1")["client"][0] == "10.0.0.7"
    assert unwrap("9.9.9.9")["scheme"] == "https" and unwrap("9.9.9.9", "websocket")["scheme"] == "wss"


@pytest.mark.parametrize(
    "fields",
    [
        *({"origins": (one,)} for one in ("*", "null", "example.org", "https://example.org/", "https://a.org:443")),
        *({"root_path": one} for one in ("studio", "/studio/", "/a b", "/api", "/..//")),
        {"trusted_proxies": ("my-proxy",)},
    ],
)
def test_what_is_not_exact_is_refused_at_the_start(fields):
    with pytest.raises(BadConfig, match=r"such as|like /studio"):
        StudioConfig(**fields)


def test_another_page_may_call_if_it_is_named(ask):
    client, page = ask(origins=("https://tool.example",), token="x" * 16), {"origin": "https://tool.example"}
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    allowed = client.options("/api/sessions", headers=page | wish)
    assert allowed.status_code == 204 and allowed.headers["access-control-allow-origin"] == "https://tool.example"
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    cross = page | {"sec-fetch-site": "cross-site"}
    without = client.get("/api/info", headers=cross)
    assert without.status_code == 401 and without.headers["access-control-allow-origin"] == "https://tool.example"
    known = client.get("/api/info", headers=cross | {"authorization": f"Bearer {'x' * 16}"})
    assert known.status_code == 200 and "origin" in known.headers["vary"].lower()
    for other in ("https://tool.example.evil", "http://tool.example", "https://tool.example:444", "null"):
        refused = client.options("/api/sessions", headers=wish | {"origin": other})
        assert refused.status_code in (403, 405) and "access-control-allow-origin" not in refused.headers
        assert client.get("/api/info?token=" + "x" * 16, headers={"origin": other}).status_code == 403
