# `make demo` and `make test` set up all they need in .venv.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test install clean

demo: install  ## train, tune and reward all five families on digits, write runs/five_families/report.html
	$(BIN)/python experiments/five_families/run.py

test: install  ## lint and the whole suite
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist worksteal

install: .venv/installed

.venv/installed: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "jaxgen needs CPython 3.11 or 3.12, and $(PYTHON) is another; run: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:  ## forget the installation and what was trained
	rm -rf .venv runs
