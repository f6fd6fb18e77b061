"""The API describes itself, without anything from elsewhere."""


def test_the_api_is_described(studio):
    described = studio.http.get("/openapi.json").json()
    for path in ("/api/sessions", "/api/sessions/{id}/set", "/api/sessions/{id}/render", "/api/train", "/api/batch"):
        assert path in described["paths"]
    for path, methods in described["paths"].items():
        assert all(call.get("description") for call in methods.values()), path


def test_the_manual_loads_nothing_from_elsewhere(studio):
    page = studio.http.get("/docs")
    assert page.status_code == 200
    assert "/api/sessions/{id}/set" in page.text and "direction" in page.text
    assert "http://" not in page.text and "https://" not in page.text
    assert "<script" not in page.text
    assert studio.http.get("/static/manual.css").status_code == 200
