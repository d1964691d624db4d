# `make demo` and `make test` set up all they need in .venv, with the newest CPython that suits; PYTHON=... names one.
BIN = .venv/bin
CANDIDATES = $(or $(PYTHON),$(wildcard $(BIN)/python) python3.14 python3.13 python3.12 python3.11 python3)
# Run, not looked up: a name may be there for a version that is not, or for one that lacks venv.
SUITS = import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

.PHONY: demo test install clean

demo: install  ## train and tune five families on digits, translate, hear, describe; write runs/five_families/report.html
	$(BIN)/python experiments/five_families/run.py

test: install  ## lint and the whole suite
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 20

install: .venv/installed

.venv/installed: setup.py constraints.txt
	@for python in $(CANDIDATES); do $$python -c '$(SUITS)' 2>/dev/null && break; python=; done; \
	if [ -z "$$python" ]; then \
	  echo "jaxgen needs CPython 3.11 to 3.14 with venv, and none of these is: $(strip $(CANDIDATES));" \
	    "install one, or name it: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)"; exit 2; fi; \
	echo "Installing into .venv with $$($$python --version), $$python"; \
	[ "$$python" = $(BIN)/python ] || "$$python" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,speech,emoji]'
	touch $@

clean:  ## forget the installation and what was trained
	rm -rf .venv runs
