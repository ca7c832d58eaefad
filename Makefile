# `make demo` and `make test` do everything on a fresh machine; the second run of either is quick.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: demo test check docs test-matrix lint format check-format clean

demo: .venv/.ready-demo
	$(BIN)/cachedsl demo

test: .venv/.ready-test lint
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# What is quick: style, types, imports, and the tests that need no model. The longest
# searches for counterexamples, which take a third of the time, are left to `make test`.
check: .venv/.ready-test lint
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal \
		-k "not (agrees_with_the_reference_interpreter or table_agrees_with_the_machine)" \
		$(wildcard tests/unit tests/policy tests/machine tests/text)

# The documentation as a site: open build/site/index.html.
docs: .venv/.ready-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The oldest diffusers that pyproject.toml admits (before it, Qwen-Image is called with other arguments), from a folder
# that goes before .venv's own packages. What drives models is tested, on the families that it has.
OLDEST := 0.37.0
test-matrix: build/diffusers-$(OLDEST)
	PYTHONPATH=$< $(BIN)/python -c "import diffusers; assert diffusers.__version__ == '$(OLDEST)'"
	PYTHONPATH=$< OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/runtime tests/unit \
		--ignore tests/runtime/test_pipelines.py

build/diffusers-$(OLDEST): .venv/.ready-test
	rm -rf $@
	$(BIN)/python -m pip install --quiet --no-deps --target $@ diffusers==$(OLDEST) httpx httpcore h11 anyio

lint: .venv/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch first and alone: the pinned build satisfies whatever depends on it afterwards.
.venv/.torch: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	touch $@

.venv/.ready-demo: .venv/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

.venv/.ready-test: .venv/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@ .venv/.ready-demo

clean:
	rm -rf .venv build dist demo-output *.egg-info
