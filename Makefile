# Every target makes the virtual environment that it needs, and makes it anew when pyproject.toml or constraints.txt
# change. Needs make, git, python3 (3.11 or newer) and python3-venv.

PYTHON ?= python3
FRAMES ?= 300
PYTEST_ARGS ?=
WORKERS ?= 2

# Many tests wait for a camera, a broker or a process, so several workers go side by side. A file's tests stay together,
# as they share what they set up. WORKERS=0 runs all in one process.
SPREAD = -n $(WORKERS) --dist loadfile

SETUP := pyproject.toml constraints.txt scripts/make_venv.sh
SHIPPED := README.md LICENSE $(shell find runtime train export benchmarks/aae_compare docs examples -type f -not -name '*.pyc')
LINTED := $(wildcard runtime train export tests benchmarks scripts examples)

export PYTHON

.DELETE_ON_ERROR:
.PHONY: help demo test test-lean test-long lint format build clean

help:  ## show this list
	@echo "aae-detect: finds defects on parts, trained on pictures of good parts only"
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed 's/:.*  ## /  /' | while read -r target text; do \
		printf '  make %-11s %s\n' "$$target" "$$text"; done

demo: .venv-demo/.ready  ## run the demo: a video, an event file and a summary in demo-out (FRAMES=300)
	@rm -rf demo-out && mkdir demo-out
	@# Exit code 3 says that NG parts were found, which is what the demo is for.
	@# AAE_DETECT_MODEL would put a model of yours in the place of the shipped one.
	env -u AAE_DETECT_MODEL .venv-demo/bin/aae-detect --demo --max-frames $(FRAMES) --no-window \
		--save-video demo-out/overlay.mp4 --jsonl demo-out/events.jsonl \
		|| { code=$$?; [ $$code -eq 3 ] || exit $$code; }

test: .venv-test/.ready  ## run all the tests, the long ones in their short forms (PYTEST_ARGS="-k word")
	.venv-test/bin/python -m pytest -m "not slow" $(SPREAD) $(PYTEST_ARGS)

test-lean: .venv-lean/.ready  ## run the runtime tests with the device's dependencies only: no torch, no onnx
	.venv-lean/bin/python -m pytest -m "not slow" $(SPREAD) $(PYTEST_ARGS) tests/runtime

test-long: .venv-test/.ready  ## run the long forms of the tests
	.venv-test/bin/python -m pytest -m slow $(PYTEST_ARGS)

lint: .venv-test/.ready  ## check style, types and the direction of imports
	.venv-test/bin/ruff check $(LINTED)
	.venv-test/bin/ruff format --check $(LINTED)
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports

format: .venv-test/.ready  ## put the code into the house format
	.venv-test/bin/ruff check --fix $(LINTED)
	.venv-test/bin/ruff format $(LINTED)

build: .venv-test/.ready  ## make the wheel and the source archive in dist
	.venv-test/bin/hatchling build -d dist

clean:  ## remove the environments, the demo's output, and all caches
	rm -rf .venv-demo .venv-test .venv-lean demo-out build dist .coverage .coverage.*
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The demo runs what a user installs, so its environment holds a copy of the package: a new copy when a file changes,
# a new environment when the set-up does.
.venv-demo/.ready: $(SETUP) $(SHIPPED)
	@$(if $(filter $(SETUP),$?),scripts/make_venv.sh .venv-demo .,\
		.venv-demo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .)
	@touch $@

.venv-test/.ready: $(SETUP)
	@scripts/make_venv.sh .venv-test -e '.[train,export,dev]'
	@touch $@

.venv-lean/.ready: $(SETUP)
	@scripts/make_venv.sh .venv-lean -e . pytest pytest-xdist hypothesis
	@touch $@
