# macqueen: everything a person runs. `make help` lists it.
#
# Nothing is installed outside of .venv. pip's own settings (pip.conf, PIP_* variables, proxies) are used as they are.

PYTHON ?= python3
VENV   ?= .venv
CXX    ?= g++

BIN    := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP    := $(BIN)/python -m pip --disable-pip-version-check
APT    := sudo apt install git g++ make python3-venv python3-dev

# A compiler for aarch64, and what runs its programs with their libraries.
NEON_CXX ?= $(shell command -v aarch64-linux-gnu-g++ || command -v aarch64-linux-gnu-g++-12)
NEON_RUN ?= qemu-aarch64 -L /usr/aarch64-linux-gnu

# Directories are listed as well: their time changes when a file is added or taken away.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
           $(shell find src cpp -not -name '*.pyc' -not -name __pycache__)
CPP     := $(shell find cpp tests/native benchmarks -name '*.cpp' -o -name '*.hpp' 2>/dev/null)

.DELETE_ON_ERROR:
.PHONY: help demo test check bench bench-quick bench-shapes bench-seeding bench-reading bench-out-of-core bench-exactness bench-bits bench-growth bench-hooks bench-tensorflow compare-tensorflow tensorboard native sanitize neon clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 26
	@echo "  make PYTHON=python3.12 ...  use another Python (3.11 or newer)"

demo: $(STAMPS)/demo  ## cluster the cities of the world; table, model directory and picture in demo-output/
	$(BIN)/python examples/01_cities.py

# The tests must meet the installed wheel: nothing on the path leads to src/.
test: $(STAMPS)/dev  ## run the tests against the installed package
	@cd / && env -u PYTHONPATH "$(abspath $(BIN))/python" -c "import macqueen, sys; \
	  sys.exit('tests would run against the source tree' if 'site-packages' not in macqueen.__file__ else 0)"
	env -u PYTHONPATH $(BIN)/pytest -n 2 $(TESTS)

check: $(STAMPS)/dev  ## lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p macqueen
	$(BIN)/mypy --strict examples/04_columns.py
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(BIN)/pytest tests/test_layers.py

bench: $(STAMPS)/bench  ## measure W1-W12 against other libraries, two hours; report in benchmarks/results/
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/seeding.py
	$(BIN)/python benchmarks/out_of_core.py

bench-quick: $(STAMPS)/bench  ## the same with fewer rows, steps and repeats, minutes
	$(BIN)/python benchmarks/run.py --quick

bench-shapes: $(STAMPS)/bench  ## measure fits of many other shapes and kinds of rows, minutes
	$(BIN)/python benchmarks/shapes.py

bench-seeding: $(STAMPS)/bench  ## measure k-means++ alone (W12) against scikit-learn
	$(BIN)/python benchmarks/seeding.py

bench-reading: $(STAMPS)/bench  ## measure labels, score, transform and nearest against scikit-learn and faiss
	$(BIN)/python benchmarks/reading.py

bench-out-of-core: $(STAMPS)/bench  ## measure training from a file of 6.4 GB (W11) against the speed of the disk
	$(BIN)/python benchmarks/out_of_core.py

bench-exactness: $(STAMPS)/bench $(STAMPS)/unchecked  ## measure what exact sums and decisions cost a step
	$(BIN)/python benchmarks/exactness.py build/unchecked/site

bench-bits: $(STAMPS)/bench  ## compare the bits of results over threads and over runs, with other libraries
	$(BIN)/python benchmarks/bits.py

bench-hooks: $(STAMPS)/bench  ## measure what event files and hooks cost a step
	$(BIN)/python benchmarks/hooks.py

bench-growth: $(STAMPS)/bench  ## measure how a step grows with rows, clusters, dims and threads; docs/growth.md
	$(BIN)/python benchmarks/growth.py

bench-tensorflow: $(STAMPS)/dev  ## measure the memory of training over tf.data pipelines of 2 GB
	$(BIN)/python benchmarks/tensorflow_pipeline.py

# tf.estimator is in no TensorFlow that installs beside ours: its Python is a person's own.
compare-tensorflow: $(STAMPS)/dev  ## compare with TensorFlow 2.15: make compare-tensorflow OLD_PYTHON=.../bin/python; docs/tensorflow-2.15.md
	@[ -n "$(OLD_PYTHON)" ] || { echo "make compare-tensorflow OLD_PYTHON=<a Python 3.11 with tensorflow-cpu==2.15.1 and numpy<2>"; exit 1; }
	$(BIN)/python benchmarks/tensorflow_215.py $(OLD_PYTHON)

tensorboard: $(STAMPS)/demo $(STAMPS)/dev  ## take the picture of docs/tensorboard.md; needs chromium
	$(BIN)/python docs/tensorboard.py

native: $(STAMPS)/tools  ## native tests of the kernels, against the checksums that every machine must find
	PATH="$(abspath $(BIN)):$$PATH" cmake -S tests/native -B build/native
	PATH="$(abspath $(BIN)):$$PATH" cmake --build build/native
	build/native/native_tests

sanitize: $(STAMPS)/tools  ## native tests under the address, undefined-behaviour and thread sanitizers
	PATH="$(abspath $(BIN)):$$PATH" cmake -S tests/native -B build/asan -DSANITIZE=address,undefined
	PATH="$(abspath $(BIN)):$$PATH" cmake --build build/asan
	build/asan/native_tests
	PATH="$(abspath $(BIN)):$$PATH" cmake -S tests/native -B build/tsan -DSANITIZE=thread
	PATH="$(abspath $(BIN)):$$PATH" cmake --build build/tsan
	build/tsan/native_tests

neon: $(STAMPS)/tools  ## native tests built for aarch64 and run under qemu: the bits of x86-64
	@missing=; command -v "$(NEON_CXX)" >/dev/null || missing="g++-aarch64-linux-gnu"; \
	command -v "$(firstword $(NEON_RUN))" >/dev/null || missing="$$missing qemu-user"; \
	[ -z "$$missing" ] || { echo "make neon needs a compiler and an emulator for aarch64. On Debian or Ubuntu:"; \
	  echo "    sudo apt install $$missing"; exit 1; }
	PATH="$(abspath $(BIN)):$$PATH" cmake -S tests/native -B build/neon -DCMAKE_SYSTEM_NAME=Linux \
	  -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$(NEON_CXX)"
	PATH="$(abspath $(BIN)):$$PATH" cmake --build build/neon
	$(NEON_RUN) build/neon/native_tests

clean:  ## remove everything that make made
	rm -rf build dist demo-output $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

# The environment, in steps that are repeated only when what they depend on has changed. ---------------------------

# An environment of another Python version is started anew, which takes its stamps with it.
$(STAMPS)/python-$(notdir $(PYTHON)):
	@missing() { echo "macqueen needs $$1. On Debian or Ubuntu:"; echo "    $(APT)"; exit 1; }; \
	command -v "$(PYTHON)" >/dev/null || missing "Python 3.11 or newer ('$(PYTHON)' was not found)"; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || missing "Python 3.11 or newer ($$("$(PYTHON)" --version) was found; choose with make PYTHON=...)"; \
	"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || missing "Python's venv module"; \
	"$(PYTHON)" -c 'import os, sysconfig as s; os.stat(os.path.join(s.get_path("include"), "Python.h"))' 2>/dev/null \
	  || missing "the headers of Python (Python.h)"; \
	command -v "$(firstword $(CXX))" >/dev/null || missing "a C++20 compiler ('$(CXX)' was not found)"
	@version='import sys; print(sys.version_info[:3])'; \
	if [ "$$($(BIN)/python -c "$$version" 2>/dev/null)" = "$$("$(PYTHON)" -c "$$version")" ]; \
	then $(BIN)/python -m ensurepip >/dev/null; else "$(PYTHON)" -m venv --clear $(VENV); fi
	@mkdir -p $(STAMPS) && touch $@

# Build tools as pyproject.toml asks for them; CMake and Ninja from PyPI where the machine has none.
$(STAMPS)/tools: $(STAMPS)/python-$(notdir $(PYTHON))
	$(PIP) install --quiet $$($(BIN)/python -c \
	  "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'])")
	@needed=$$($(BIN)/python -c \
	  "from scikit_build_core.build import get_requires_for_build_wheel as needs; print(*needs())"); \
	[ -z "$$needed" ] || $(PIP) install --quiet $$needed
	@touch $@

# Without build isolation, so that build/ stays valid and only what changed is compiled again.
$(STAMPS)/package: $(STAMPS)/tools $(SOURCES)
	rm -rf build/wheels
	PATH="$(abspath $(BIN)):$$PATH" $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheels .
	$(PIP) install --quiet --no-deps --force-reinstall build/wheels/*.whl
	$(PIP) install --quiet macqueen
	@touch $@

# The same sources without exactness, beside the package and never instead of it.
$(STAMPS)/unchecked: $(STAMPS)/tools $(SOURCES) benchmarks/unchecked_sums.cpp
	rm -rf build/unchecked/wheels build/unchecked/site
	PATH="$(abspath $(BIN)):$$PATH" $(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir build/unchecked/wheels \
	  --config-settings build-dir=build/unchecked/build \
	  --config-settings cmake.define.MACQUEEN_UNCHECKED=ON .
	$(PIP) install --quiet --no-deps --target build/unchecked/site build/unchecked/wheels/*.whl
	@touch $@

$(STAMPS)/demo $(STAMPS)/dev $(STAMPS)/bench: $(STAMPS)/package
	$(PIP) install --quiet "macqueen[$(@F)]"
	@touch $@
