# make eval: what do filters cost a diffusion policy? Evaluates each AGENT on ENV and prints one table.
# make test: run the tests. Both make .venv first where there is none.
PYTHON   ?= python3
ENV      ?= dto/Square-v0
AGENT    ?= base clipping penalty diffog
EPISODES ?= 150
WORKERS  ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")
OUT      ?= runs
TASK      = $(patsubst dto/%-v0,%,$(ENV))
BIN       = .venv/bin

.PHONY: eval test lint clean

eval: .venv/eval
	set -e; for agent in $(AGENT); do \
		$(BIN)/dto-eval --env $(ENV) --agent $$agent --episodes $(EPISODES) --workers $(WORKERS) \
			--out $(OUT)/$(TASK)/$$agent-$(EPISODES); \
	done
	$(BIN)/dto-board compare $(foreach agent,$(AGENT),$(OUT)/$(TASK)/$(agent)-$(EPISODES))

test: .venv/test
	$(BIN)/python -m pytest

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --level error

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

.venv/eval: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet -e ".[robomimic]"
	touch $@

.venv/test: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet -e ".[robomimic,metaworld,aloha,iiwa,planar,qpth,test]"
	touch $@ .venv/eval

clean:
	rm -rf .venv build *.egg-info
