# Two commands: `make run` opens the studio, `make test` tests it.
# Both install what they need once; a second run installs nothing until a requirements file changes.

VENV ?= .venv
PY := $(VENV)/bin/python
ARGS ?=

# A stamp's name holds the checksum of the requirements, so that a checkout's file times mean nothing.
RUN_STAMP := $(VENV)/.installed-run-$(shell cat requirements.txt | cksum | cut -d' ' -f1)
DEV_STAMP := $(VENV)/.installed-dev-$(shell cat requirements.txt requirements-dev.txt | cksum | cut -d' ' -f1)

# pytest with a browser to drive.
PYTEST = UNNOISE_BROWSER="$$($(PY) scripts/browser.py)" && export UNNOISE_BROWSER && exec $(PY) -m pytest

.PHONY: help run test test-all zoo setup setup-dev lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make run       install what is missing and open the studio (flags: make run ARGS=\"--port 8000\")"
	@echo "make test      install what is missing and run the tests"
	@echo "make test-all  the same, and every case of the sweeps whose representatives make test runs"
	@echo "make zoo       train the tiny models of every architecture, resumable (one: make zoo ARGS=lcm)"
	@echo "make setup     only install"
	@echo "make lint      ruff and mypy"
	@echo "make format    let ruff rewrite the code"
	@echo "make clean     remove $(VENV) and the tools' caches"

run: $(RUN_STAMP)
	@exec $(PY) app.py $(ARGS)

test: $(DEV_STAMP)
	@$(PYTEST) $(ARGS)

test-all: $(DEV_STAMP)
	@$(PYTEST) -m "" $(ARGS)

zoo: $(RUN_STAMP)
	@exec $(PY) scripts/zoo.py $(ARGS)

setup: $(RUN_STAMP)

setup-dev: $(DEV_STAMP)

lint: $(DEV_STAMP)
	@find studio -name '*.pyi' -delete  # Gradio writes them where its classes are imported; mypy would read them
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(DEV_STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(PY):
	@sh scripts/venv.sh $(VENV)

$(RUN_STAMP): | $(PY)
	$(PY) -m pip install --disable-pip-version-check -q -r requirements.txt
	@rm -f $(VENV)/.installed-run-*
	@touch $@

$(DEV_STAMP): | $(PY)
	$(PY) -m pip install --disable-pip-version-check -q -r requirements-dev.txt
	@rm -f $(VENV)/.installed-*
	@touch $(RUN_STAMP) $@
