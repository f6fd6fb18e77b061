# `make demo` and `make test` work on a fresh clone with nothing installed: they make .venv themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test check format lint types clean

install: .venv/installed

# Again only when the dependencies change; an interrupted install leaves no mark and is repeated.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 .venv/lib ganvas || true  # pip compiles on one core only
	touch $@

demo: install
	$(BIN)/ganvas demo --yes

# One process more than cores: tests of the studio's page often wait for the browser.
# What they compile is kept, whatever the environment says: else each process and each command under test compiles it again.
test: install
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --maxprocesses 4 --dist worksteal

check: format lint types test

format: install
	$(BIN)/ruff format --check .

# The page's JavaScript is checked by TypeScript's compiler where Node.js and its packages can be had; nobody else needs them.
TSC := npx --yes --package typescript@5.9.3 tsc

lint: install
	$(BIN)/ruff check .
	@if $(TSC) --version >/dev/null 2>&1; then $(TSC) --project ganvas/web/jsconfig.json; \
	else echo "lint: the page's JavaScript is not checked (no npx, or no network)"; fi

types: install
	$(BIN)/mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
