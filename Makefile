# The commands that people, tox and CI run. `make help` lists them.

PYTHON ?= python3
VENV ?= .venv

bin := $(VENV)/bin
# What is installed is remembered inside the venv, so removing it forgets both.
dev := $(VENV)/.installed-dev
demo := $(VENV)/.installed-demo
pip := $(bin)/python -m pip install --quiet --disable-pip-version-check
# The pseud that is already out there: it has the name of ours, so it lives elsewhere.
genuine := .venv-1.0.1

# Raw pyzmq beside pseud: it is what the ratios are made of.
BENCH_PEERS ?= zmq-fd,zmq-1f,zmq-reqrep,pseud-*
BENCH_LOADS ?= seq,pipe,fan

BACKEND ?= tornado

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pips in one venv would get in each other's way.
.NOTPARALLEL:
.PHONY: venv demo test fuzz torture binding lint types docs coverage bench clean help

venv: $(dev)  ## Make .venv with everything for development

demo: $(demo)  ## See programs call each other: asyncio, gevent, SyncClient
	@echo '== running examples/demo.py'
	@$(bin)/python examples/demo.py

test: $(dev) $(genuine)/.installed  ## Run the tests (ARGS='-k name' for some of them)
	@echo '== running the tests, in a process for each core'
	@$(bin)/python -m pytest -n auto $(ARGS)

# Guided by coverage if atheris is there: $(bin)/pip install atheris
fuzz: $(dev)  ## Fuzz what decodes bytes of strangers (SECONDS=60, ARGS='body_v2')
	@echo '== fuzzing for $(or $(SECONDS),60) seconds'
	@$(bin)/python tests/fuzz/run.py --seconds $(or $(SECONDS),60) $(ARGS)

torture: $(dev)  ## Cut, freeze and kill, and account for every call (SECONDS=180, BACKEND=gevent)
	@echo '== torturing servers and clients on $(BACKEND) for $(or $(SECONDS),180) seconds'
	@$(bin)/python tests/torture/run.py --backend $(BACKEND) --seconds $(or $(SECONDS),180) $(ARGS)

binding: $(dev)  ## Test the wheel with tornado, gevent, both, none, and nothing else
	@echo '== testing the wheel in environments with tornado, gevent, both and none'
	@$(bin)/python tests/binding/run.py $(ARGS)

lint: $(dev)  ## Check the style
	@echo '== ruff check, ruff format --check'
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .

types: $(dev)  ## Check the static types
	@echo '== mypy'
	@$(bin)/mypy

docs: $(dev)  ## Build the documentation in docs/_build/html
	@echo '== building docs/_build/html'
	@$(bin)/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html

coverage: $(dev) $(genuine)/.installed  ## Measure what the tests cover; all branches of the core must be
	@echo '== running the tests under coverage'
	@$(bin)/coverage erase
	@$(bin)/coverage run -m pytest $(ARGS)
	@$(bin)/coverage combine --quiet
	@echo '== coverage of pseud/_core'
	@$(bin)/coverage report --include='pseud/_core/*' --fail-under=100
	@echo '== coverage of pseud'
	@$(bin)/coverage report

bench: $(dev)  ## Compare pseud with raw pyzmq (BENCH_PEERS, BENCH_LOADS)
	@echo '== benchmarks of $(BENCH_PEERS): $(BENCH_LOADS)'
	@$(bin)/python benchmarks/peers.py run --peers '$(BENCH_PEERS)' --loads '$(BENCH_LOADS)'

clean:  ## Remove .venv and everything that was built
	rm -rf $(VENV) $(genuine) .tox .coverage .coverage.* htmlcov docs/_build build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# An existing venv is kept: pip only adds to it.
define ensure_venv
@test -x $(bin)/python || { \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'pseud needs Python 3.11 or newer; name one: make PYTHON=python3.11' >&2; \
		exit 1; }; \
	echo '== making $(VENV)'; \
	$(PYTHON) -m venv $(VENV); }
endef

$(dev): pyproject.toml
	$(ensure_venv)
	@echo '== installing pseud and its development tools into $(VENV) (a minute or two)'
	@$(pip) --editable '.[dev]'
	@touch $(demo) $@  # whatever the demo needs is there too

$(demo): pyproject.toml
	$(ensure_venv)
	@echo '== installing pseud with tornado and gevent into $(VENV)'
	@$(pip) --editable '.[Tornado,Gevent]'
	@touch $@

$(genuine)/.installed: tests/genuine/requirements.txt
	@echo '== installing pseud 1.0.1 into $(genuine), to test with'
	@$(PYTHON) -m venv $(genuine)
	@$(genuine)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
