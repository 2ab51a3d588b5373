# Every target sets itself up from a fresh clone: `make demo` and `make test` need Python 3.11+ and nothing else.
PYTHON ?= python3
BIN := .venv/bin
DISTRIBUTIONS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml contrib/*/pyproject.toml))
READY := .venv/ready

.PHONY: demo test lint types tests docs site bench evidence format clean

demo: $(READY)
	$(BIN)/prodmatch run pipelines/demo.toml --jobs 2

test: lint types tests
	$(MAKE) --no-print-directory demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Of benchmarks only that what they import and call is there: none of them runs in the tests.
types: $(READY)
	$(BIN)/mypy
	cd benchmarks && ../$(BIN)/mypy --config-file ../pyproject.toml --allow-untyped-defs --no-warn-unused-ignores \
		$(foreach code,arg-type assignment call-arg dict-item index list-item misc operator return-value var-annotated,\
		--disable-error-code $(code)) *.py

# A process a processor shares the test files; threads of their own would only get into each other's way.
tests: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

docs: $(READY)
	$(BIN)/python docs/generate.py

site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# How long it takes stands in docs/explanation/benchmarks.md.
bench: $(READY)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python docs/generate.py

# Hours, with PRODMATCH_DATA; what was stopped goes on from where it was.
evidence: $(READY)
	for file in $(filter-out %_page.py,$(sort $(wildcard benchmarks/evidence_*.py))); do $(BIN)/python $$file || exit 1; done
	$(BIN)/python docs/generate.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch first: a later package must find it installed, or it brings the registry's default build.
$(READY): pyproject.toml constraints.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,lint,docs]' $(DISTRIBUTIONS:%=--editable %)
	touch $(READY)

clean:
	rm -rf .venv runs site
