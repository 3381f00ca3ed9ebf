# SPDX-License-Identifier: GPL-2.0-or-later
# Builds pyfio-virtio below build/ and runs its checks. `make help` lists the targets.
#
# engine/fio_headers.py gets fio's headers, engine/build.py compiles, and tools/packages.sh installs
# Debian's packages. This file only knows what depends on what.

SLEEPY_POLL ?= 0
FIO_SOURCE_DIR ?=
FIO ?= fio
PREFIX ?= /usr/local
PYTHON ?= python3
export FIO_SOURCE_DIR

# $(1) as one word of the shell, also if it has spaces or quotes.
quoted = '$(subst ','\'',$(1))'

VENV := build/venv
# A Debian package is built with the system's Python and its libraries (debian/rules).
SYSTEM_PYTHON ?=
IN_VENV := $(if $(SYSTEM_PYTHON),$(PYTHON),$(VENV)/bin/python)
VENV_READY := $(if $(SYSTEM_PYTHON),,$(VENV)/.ready)
# Each room is a folder; the back-end's rooms lie in engine/backend.
FRONT_END_SOURCES := $(filter-out engine/backend/% engine/examples/%,$(wildcard engine/*.[ch] engine/*/*.[ch]))
BACK_END_SOURCES := $(wildcard engine/backend/*.[ch] engine/backend/*/*.[ch] engine/vhost/proto.h)
BUILDERS := $(wildcard engine/*.py) pyproject.toml $(VENV_READY)
# If these files change, FIO_SOURCE_DIR holds another fio: a newer, patched or reconfigured one.
FIO_TREE_MARKS := $(wildcard $(addprefix $(FIO_SOURCE_DIR)/,FIO-VERSION-FILE *.h options.c))

FRONT_END := build/lib/fio_virtio
# The module by which the unit tests call internal functions of the engine.
INTERNALS := build/lib/engine_internals
BACK_END := build/lib/vhost_backend
# A fio for systems whose archive lacks the sources of theirs.
OWN_FIO := build/fio-3.41/fio

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all run test model fuzz stress soak differential examples conditions lint bench asan tsan fio-3.41 install-packages clean help FORCE

all: $(FRONT_END) $(BACK_END) ## build the engine (the default): build/lib/fio_virtio

# Put before a command: if root builds in another user's clone, that user gets the files afterwards.
GIVING_BACK = trap '"$(PYTHON)" tools/give_back.py' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM;

run: install-packages ## run jobs/virtio.fio on a disk in memory of the built-in back-end
	@$(GIVING_BACK) $(MAKE) --no-print-directory all
	@$(VENV)/bin/pyfio-virtio run --fio $(call quoted,$(FIO)) jobs/virtio.fio

test: install-test-packages ## run the tests
	@$(MAKE) --no-print-directory all $(INTERNALS) $(VENV)/.dev
	@$(IN_VENV) -m pytest

.PHONY: test-packages
test-packages: install-test-packages ## install what users install, in clean chroots of Debian (as root)
	@$(MAKE) --no-print-directory all $(VENV)/.dev
	@$(IN_VENV) -m pytest --numprocesses=2 --dist=loadfile tests/packages

.PHONY: pythons
pythons: install-packages ## build and test in short with each Python from 3.11 to 3.14, or with those in PYTHONS
	@$(PYTHON) -m tests.pythons

soak: install-packages ## verify disks while their back-ends are killed and restarted, for MINUTES (30)
	@$(MAKE) --no-print-directory all $(VENV)/.dev
	@$(IN_VENV) -m tests.soak.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

differential: install-packages ## search for jobs that run otherwise on fio's own engines, for MINUTES (30)
	@$(MAKE) --no-print-directory all $(VENV)/.dev
	@$(IN_VENV) -m tests.differential.search $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

examples: install-packages ## run the job files of fio's sources here and on fio's libaio, and compare the counts
	@$(MAKE) --no-print-directory all $(VENV)/.dev
	@$(IN_VENV) -m tests.differential.examples $(EXAMPLES)

stress: install-packages ## use the library at random on bad back-ends, for SECONDS (60)
	@$(MAKE) --no-print-directory all $(VENV)/.dev
	@$(IN_VENV) -m tests.stress.disk_stress $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

fuzz: ## search for inputs that break the parts that read what others write, for MINUTES (10)
	@tools/packages.sh fuzz
	@$(MAKE) --no-print-directory $(VENV)/.dev
	@-$(IN_VENV) -m pip install -qq --no-build-isolation --editable '.[fuzz]'
	@$(IN_VENV) -m tests.fuzz.search $(if $(MINUTES),--minutes $(MINUTES)) $(addprefix --target ,$(TARGET))

model: install-test-packages ## search all states of the models of the hand-shakes (tests/model) with spin
	@$(PYTHON) -m tests.model.run

conditions: install-test-packages ## run every command on full disks, with closed streams, a broken fio and the like
	@$(MAKE) --no-print-directory all $(VENV)/.dev
	@EVERY_CONDITION=1 $(IN_VENV) -m pytest tests/pyfio_virtio/cli/test_conditions.py

lint: $(VENV)/.dev ## check style and types with ruff and mypy
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

bench: install-packages ## compare the engine with fio's own engines; all runs are kept in build/bench/
	@$(MAKE) --no-print-directory all $(addprefix build/bench/,bare_loop blocking_loop async_loop copy_loop pair_loop)
	@$(IN_VENV) -m bench --page $(if $(QUICK),--quick) $(BENCH)

# These programs use neither fio nor Python, and are optimised like the engine.
build/bench/%_loop: bench/%_loop.c bench/random.h bench/result.h bench/memory_of_loop.h $(FRONT_END_SOURCES)
	@mkdir -p $(@D)
	@echo "Compiling $@"
	@$(CC) -std=gnu11 -D_GNU_SOURCE -g -O2 -flto=auto -flto-partition=one -Wall -Wextra -pthread \
	  -DENGINE_VERSION='"bench"' -DSLEEPY_POLL_DEFAULT=0 -iquote engine \
	  $< $(filter-out engine/fio/%,$(filter %.c,$(FRONT_END_SOURCES))) -o $@

.PHONY: site
site: $(VENV)/.dev ## make the documents as web pages below build/site, which need no network
	@PYTHONPATH=tools $(IN_VENV) -m docs_site build/site

install-packages: ## install the Debian packages that make run needs (as root), or report which are missing
	@tools/packages.sh install

.PHONY: install-test-packages
install-test-packages: ## the same for make test
	@tools/packages.sh test

# Where `make install` puts files. DESTDIR is for packagers, and LIBDIR is relative to PREFIX.
INSTALLER = "$(PYTHON)" tools/installer.py
INTO = --prefix $(call quoted,$(PREFIX)) --destdir $(call quoted,$(DESTDIR))
LIBDIR ?= lib

.PHONY: install uninstall installable
install: ## install the command, the engine and the C library below PREFIX
	@$(GIVING_BACK) $(MAKE) --no-print-directory installable
	@$(GIVING_BACK) $(INSTALLER) install $(INTO) --libdir $(call quoted,$(LIBDIR)) $(if $(SYSTEM_PYTHON),,--bundle build/bundle)

# All that is built first.
installable: $(FRONT_END) $(BACK_END) build/lib/libpyfio_virtio.so $(if $(SYSTEM_PYTHON),,build/bundle/.ready)
	@$(MAKE) --no-print-directory man completions

uninstall: ## remove what make install has put below PREFIX
	@$(INSTALLER) uninstall $(INTO)

# Python's libraries in a folder of their own, for make install.
build/bundle/.ready: $(VENV)/.ready
	@echo "Installing Python's packages into build/bundle"
	@rm -rf build/bundle
	@$(IN_VENV) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > build/bundle.txt
	@$(IN_VENV) -m pip install -qq --target build/bundle -r build/bundle.txt
	@touch $@

.PHONY: deb
deb: ## build Debian's packages of this version into build/deb
	@tools/packages.sh deb
	@$(GIVING_BACK) $(PYTHON) tools/deb.py build/deb

.PHONY: man
man: $(VENV_READY) ## write the manual pages into build/man
	@rm -rf build/man
	@$(IN_VENV) tools/manual.py build/man

.PHONY: completions
completions: $(VENV_READY) ## write what completes commands in bash, zsh and fish into build/completions
	@mkdir -p build/completions
	@set -e; for shell in bash zsh fish; do \
	  $(IN_VENV) -m pyfio_virtio completion $$shell > build/completions/$$shell; done

# How `make release` makes packages: commands for the commit's own work tree.
RELEASE_PYTHON = $(MAKE) -C $(call quoted,$(CURDIR)) $(VENV)/.dev && $(call quoted,$(CURDIR)/$(IN_VENV)) -m build --outdir "$$RELEASE_FOLDER"
RELEASE_DEB = $(MAKE) deb && cp build/deb/*.deb "$$RELEASE_FOLDER"

.PHONY: release
release: ## commit and tag VERSION here, with its packages in build/release (docs/releasing.md); pushes nothing
	@$(PYTHON) tools/release.py $(call quoted,$(VERSION)) $(call quoted,$(RELEASE_PYTHON)) $(call quoted,$(RELEASE_DEB))

clean: ## remove everything that was built
	@rm -rf build *.egg-info

help: ## list the targets and variables
	@sed -n 's/^\([a-z0-9.-]*\):.*## /\1 - /p' Makefile | awk -F' - ' '{ printf "make %-22s %s\n", $$1, $$2 }'
	@echo
	@echo "SLEEPY_POLL=N       make wait=sleepy with N microseconds the default; 0 (the default): wait=adaptive"
	@echo "FIO=PATH            build for this fio; FIO=build/fio-3.41/fio is fetched and built first"
	@echo "FIO_SOURCE_DIR=DIR  build for the fio with these sources instead of the installed package"
	@echo "PREFIX=DIR          the folder into which make install puts all files (default: /usr/local)"
	@echo "BENCH='NAME... --pairs N'  the comparisons that make bench runs; BENCH=--help lists them"
	@echo "QUICK=1             make bench runs for five minutes"
	@echo "MINUTES=30 SEED=N   how long make differential or make soak runs, and where it begins; else anywhere"
	@echo "SECONDS=60 SEED=N   how long make stress runs, and what it draws"
	@echo "MINUTES=10 TARGET='NAME...'  how long make fuzz searches in all, and in which targets"
	@echo "EXAMPLES='WORD...'  make examples runs the job files with one of these words in their paths"
	@echo "SUITES='NAME...' FIO_TREES='DIR...'  the suites of Debian and the folders of fio's sources that make matrix tries"
	@echo "VERSION=1.2.3       what make release releases"
	@echo "PYTHONS='python3.12 ...'  the Pythons of make pythons"
	@echo "V=1                 show the compiler's commands"

# ---- what is built ------------------------------------------------------

# $(1): options of build.py, $(2): the tree of fio's sources, $(3): options of its front-end command
build_front_end = $(IN_VENV) engine/build.py --output $@ $(1) front-end --sleepy-poll $(SLEEPY_POLL) --fio-tree $(2) $(3)

FRONT_END_NEEDS := $(FRONT_END_SOURCES) $(BUILDERS) build/sleepy-poll

$(FRONT_END): $(FRONT_END_NEEDS) build/fio-tree $(FIO_TREE_MARKS)
	@echo "Compiling $@ for $$(basename "$$(cat build/fio-tree)")"
	@$(call build_front_end,,"$$(cat build/fio-tree)")

$(INTERNALS): $(FRONT_END_NEEDS) engine/internals.cdef build/fio-tree $(FIO_TREE_MARKS)
	@echo "Compiling $@"
	@$(call build_front_end,,"$$(cat build/fio-tree)",--internals)

build/lib/vhost_backend: $(BACK_END_SOURCES) $(BUILDERS)
	@echo "Compiling $@"
	@$(IN_VENV) engine/build.py --output $@ back-end

build/lib/libpyfio_virtio.so: $(FRONT_END_SOURCES) engine/library/pyfio_virtio.map $(BUILDERS) build/sleepy-poll
	@echo "Compiling $@"
	@$(IN_VENV) engine/build.py --output $@ library --sleepy-poll $(SLEEPY_POLL)

build/fio-tree: engine/fio_headers.py build/fio-wanted
	@$(PYTHON) engine/fio_headers.py --fio $(call quoted,$(FIO)) > $@ || { \
	  echo "Or let make fetch and build another fio: make run FIO=$(OWN_FIO)" >&2; exit 1; }

$(VENV)/.ready: pyproject.toml setup.py
	@tools/packages.sh check
	@echo "Installing Python's packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(IN_VENV) -m pip install -qq 'setuptools>=77'
	@$(IN_VENV) -m pip install -qq --no-build-isolation --editable .
	@touch $@

# The packages that only tests and checks need: several hundred megabytes.
$(VENV)/.dev: $(VENV)/.ready
	@echo "Installing what tests need into $(VENV)"
	@$(IN_VENV) -m pip install -qq --no-build-isolation --editable '.[dev,docs]'
	@touch $@

# Each of these files holds a value, and is written only when the value changes, so that what depends
# on it is built again.
build/fio-wanted: VALUE = $(or $(FIO_SOURCE_DIR),$(FIO) $(shell $(call quoted,$(FIO)) --version 2>&1; dpkg-query -W fio 2>&1))
build/fio-wanted: $(filter $(OWN_FIO),$(FIO))
build/sleepy-poll: VALUE = $(SLEEPY_POLL)
build/fio-wanted build/sleepy-poll: FORCE
	@mkdir -p build
	@echo $(call quoted,$(VALUE)) | cmp -s - $@ || echo $(call quoted,$(VALUE)) > $@

# ---- with the sanitizers --------------------------------------------------

ASAN := $(patsubst build/lib/%,build/asan/lib/%,$(FRONT_END) $(INTERNALS) $(BACK_END))
TSAN := $(patsubst build/lib/%,build/tsan/lib/%,$(FRONT_END) $(INTERNALS) $(BACK_END))
ASAN_TESTS := tests/end_to_end
# The tests of the library that use threads. Tests that start our command are not among them, because
# the command would need the sanitizer's library too.
TSAN_TESTS := tests/stress/test_disk_stress.py tests/engine/library/test_async.py tests/engine/library/test_attach.py tests/engine/device/test_share_memory.py tests/engine/memory \
  $(addprefix tests/pyfio_virtio/disk/test_,async_disk.py disk.py disk_cancel.py disk_waits.py gate.py) \
  -k "not test_a_program_can_end_with_operations_in_flight"
build/asan/%: SANITIZE := --sanitize address,undefined
build/tsan/%: SANITIZE := --sanitize thread

build/asan/lib/fio_virtio build/tsan/lib/fio_virtio: $(FRONT_END_NEEDS) build/fio-tree $(FIO_TREE_MARKS)
	@echo "Compiling $@"
	@$(call build_front_end,$(SANITIZE),"$$(cat build/fio-tree)")

build/asan/lib/engine_internals build/tsan/lib/engine_internals: $(FRONT_END_NEEDS) engine/internals.cdef \
  build/fio-tree $(FIO_TREE_MARKS)
	@echo "Compiling $@"
	@$(call build_front_end,$(SANITIZE),"$$(cat build/fio-tree)",--internals)

build/asan/lib/vhost_backend: $(BACK_END_SOURCES) $(BUILDERS)
	@echo "Compiling $@"
	@$(IN_VENV) engine/build.py --output $@ $(SANITIZE) back-end

# The back-end is another process, and the thread sanitizer sees one process.
build/tsan/lib/vhost_backend: $(BACK_END)
	@mkdir -p $(@D)
	@cp $< $@

.PHONY: sanitized
sanitized: $(ASAN) $(TSAN) # what make asan and make tsan need

# The sanitizer's library must be loaded first in every process that loads one of these files. Leaks
# are not checked, because fio and Python keep much memory until they exit.
asan: $(ASAN) $(VENV)/.dev ## run the end-to-end tests (or ASAN_TESTS) with gcc's address and undefined-behaviour sanitizers
	@PYFIO_VIRTIO_LIB=$(call quoted,$(CURDIR)/build/asan/lib) LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" \
	  ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 $(IN_VENV) -m pytest --numprocesses=3 $(ASAN_TESTS)

# Python itself is not instrumented, but the sanitizer sees its locks. Reports go to files, because
# pytest hides what a process writes, and each report fails the run.
tsan: $(TSAN) $(VENV)/.dev ## run the tests of the library (or TSAN_TESTS) with gcc's thread sanitizer
	@rm -f build/tsan/report.*
	@PYFIO_VIRTIO_LIB=$(call quoted,$(CURDIR)/build/tsan/lib) LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" \
	  TSAN_OPTIONS=$(call quoted,log_path="$(CURDIR)/build/tsan/report":suppressions="$(CURDIR)/tests/tsan.supp") $(IN_VENV) -m pytest $(TSAN_TESTS)
	@! cat build/tsan/report.* 2>/dev/null

# ---- other fios, beside the installed one ---------------------------------

.PHONY: matrix
matrix: install-packages ## build many releases of fio and an engine for each, run them, and see all other pairs refused
	@$(MAKE) --no-print-directory all $(VENV)/.dev
	@PYTHONPATH=engine $(IN_VENV) -m tests.matrix.matrix $(if $(SUITES),--suites $(SUITES)) $(if $(FIO_TREES),--trees $(FIO_TREES))

fio-3.41: $(OWN_FIO) build/fio-3.41-engine/fio_virtio ## fetch and build fio 3.41 and an engine for it below build/

$(OWN_FIO):
	@$(PYTHON) engine/fio_headers.py --release fio-3.41 --suite sid > /dev/null
	@echo "Compiling $@"
	@$(MAKE) -C build/fio-3.41 -j"$$(nproc)" fio > build/fio-3.41/make.output 2>&1 || { tail -n 20 build/fio-3.41/make.output; exit 1; }

build/fio-3.41-engine/fio_virtio: $(FRONT_END_NEEDS) $(OWN_FIO)
	@echo "Compiling $@ for fio-3.41"
	@$(call build_front_end,,build/fio-3.41)
