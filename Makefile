# The two commands of the README, and what CI runs besides.
PYTHON ?= python3
EXTRAS ?= test
VENV := .venv
RUN := $(VENV)/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint docs clean

demo: $(VENV)/.installed
	$(RUN) -m keras_mmc train --output_dir=runs/demo --overwrite
	$(RUN) -m keras_mmc audit --model=runs/demo/mmc/model.keras --eps=0.2 --suite=standard --noprogress

test: $(VENV)/.installed-$(EXTRAS)
	$(RUN) -m pytest --numprocesses=auto --dist=loadfile

lint: $(VENV)/.installed-$(EXTRAS)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	$(RUN) docs/check_api.py

docs: $(VENV)/.installed-docs
	$(RUN) -m sphinx --fail-on-warning --keep-going --quiet -d docs/_build/doctrees docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip

$(VENV)/.installed: setup.py $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable ".[datasets,plots]"
	touch $@

$(VENV)/.installed-%: setup.py $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable ".[$*]"
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) runs docs/_build docs/math docs/project docs/reference
