# Two commands do everything on a fresh machine with Python 3.11, gcc and make: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
MODEL := daemon/treegraft_daemon/engine/model
NATIVE := setup.py $(wildcard grammars/treegraft_grammars/*.pyx grammars/treegraft_grammars/*.pxd grammars/treegraft_grammars/simulator/* \
    $(MODEL)/*.pyx $(MODEL)/native/* $(MODEL)/urn/* $(MODEL)/mixing/*)

.PHONY: demo test lint check-all editors cluster dist clean

demo: .venv/base
	@$(BIN)/python examples/demo.py

test: .venv/full lint
	$(BIN)/python -m pytest -q

lint: .venv/full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Everything, with the fetched corpora, a real model and the slow suites: half an hour on two cores.
check-all: .venv/full lint
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[models,bench]" -c constraints.txt
	$(BIN)/python tests/sources.py
	$(BIN)/python tests/real_model.py
	$(BIN)/python -m pytest -q -m "not gpu and not editor and not cluster" --timeout 3600

# Real Neovims, Emacs, Helix and VS Code, fetched into .cache/editors (2 GB, Debian, some minutes).
editors: .venv/full
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[editors]" -c constraints.txt
	sh tests/editors/fetch.sh
	npm ci --prefix editors/vscode --no-audit --no-fund
	$(BIN)/python -m pytest -q -m editor

# Replicas on a Ray cluster, on this machine (240 MB to install, some minutes).
cluster: .venv/full
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[cluster]" -c constraints.txt
	$(BIN)/python -m pytest -q -m cluster

# What is released, in dist/: sdist, wheel (one for Python 3.11 and later), .vsix; the wheel tried in an empty environment.
dist: .venv/base
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dist]" -c constraints.txt
	rm -rf dist
	$(BIN)/python -m build --outdir dist >/dev/null
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair --wheel-dir dist/repaired dist/*.whl
	rm dist/*.whl && mv dist/repaired/*.whl dist && rmdir dist/repaired
	npm ci --prefix editors/vscode --no-audit --no-fund
	npm run --prefix editors/vscode package
	mv editors/vscode/dist/treegraft.vsix dist/treegraft-$$($(BIN)/treegraft --version | cut -d' ' -f2).vsix
	$(BIN)/python tests/installed.py dist/*.whl
	@ls -l dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

# Enough to serve with the embedded model: seconds, no torch.
.venv/base: pyproject.toml constraints.txt $(NATIVE) | .venv/bin/python
	@echo "installing treegraft into .venv ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -e . -c constraints.txt
	$(BIN)/python -m compileall -q daemon grammars protocol  # as pip does for what is not editable: 0.1 s at each start
	@touch $@

# What the tests need besides: torch, transformers, linters.
.venv/full: .venv/base
	@echo "installing what the tests need (torch among it, and all grammars) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[models,languages,dev]" -c constraints.txt
	@touch $@

clean:
	rm -rf .venv build *.egg-info grammars/treegraft_grammars/*.so grammars/treegraft_grammars/_simulator.c $(MODEL)/*.so $(MODEL)/_*.c
