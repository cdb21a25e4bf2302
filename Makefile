# make help lists what can be made.
#
# Everything made lies below build/.  The commands install what they need: Debian packages where one is missing (as
# root; otherwise the missing ones are named), Python packages into build/ alone.

PREFIX = /usr/local
DESTDIR =
# The Python that the installed programs run with; the private environment is made from it.
PYTHON = /usr/bin/python3
# The C library of the login program: musl where it is installed (see meson.build), which is known only when the packages
# are there: looked up by the recipe, not when this file is read.
LOGIN_CC = $$(command -v musl-gcc || echo cc)
# A directory of wheels, from which pip takes all packages instead of asking an index; make wheels fills it.
WHEELS =
# 1: the installation goes by Debian's python3-… packages and carries none itself.
SYSTEM_PACKAGES =
# Further arguments for pytest: make test ARGS='tests/unit -x'
ARGS =
# make check of these files alone: make check FILES='jailssh/files/fs.py plugins/git/plugin.py'
FILES =
# Processes that run tests: four more than processors, since most of what takes long waits more than half of its time.
# With three more, two processors were idle for a quarter of a run, by the accounting of its processes (acct(5)).
JOBS = $$(($$(nproc) + 4))
# Tests start Python thousands of times, and pytest rewrites each test file: what is compiled once is kept.
unexport PYTHONDONTWRITEBYTECODE

ROOM := $(CURDIR)/build
VENV := $(ROOM)/venv
MESON_BUILD := $(ROOM)/meson
# Beside the one above, so that another PREFIX does not compile the tests' programs anew.
STAGE_BUILD = $(ROOM)/meson-install
STAGE = $(ROOM)/stage
PACKAGES := $(ROOM)/packages
comma := ,
PIP = $(VENV)/bin/pip --quiet --quiet
ifneq ($(WHEELS),)
PIP := PIP_NO_INDEX=1 PIP_FIND_LINKS='$(abspath $(WHEELS))' $(PIP)
endif
STAGE_NEEDS = $(if $(SYSTEM_PACKAGES),$(PACKAGES)-build.stamp $(PACKAGES)-python.stamp,$(ROOM)/python.stamp)
SAY_LIBRARY = case "$(LOGIN_CC)" in *musl*) ;; *) \
    echo "note: there is no musl-gcc: with another C library jailssh-login is larger and slower to start" ;; esac
# Set where the environment was made for another Python: of an upgrade of the distribution nothing made before it is of use.
OUTDATED := $(if $(wildcard $(VENV)/stamp),$(shell test -d \
    '$(VENV)'/lib/python"$$($(PYTHON) -ISc 'import sys; print("%d.%d" % sys.version_info[:2])')" || echo outdated))
SITE = $$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: build tools help test test-matrix test-mutations test-suites test-system check demo bench bench-quick lint stage wheels install uninstall deb rpm clean
.PHONY: $(OUTDATED)

build: ## the login program and the command, in build/ (what make alone does)
build: $(ROOM)/python.stamp
	@test -f '$(MESON_BUILD)/build.ninja' || $(SAY_LIBRARY)
	@test -f '$(MESON_BUILD)/build.ninja' || CC="$(LOGIN_CC)" packaging/quietly meson setup '$(MESON_BUILD)' '$(CURDIR)'
	@ninja --quiet -C '$(MESON_BUILD)'

# Debian packages.

$(PACKAGES)-%.stamp: packaging/packages-%.txt packaging/install-packages $(OUTDATED)
	@mkdir -p '$(ROOM)'
	@packaging/install-packages $<
	@touch $@

# The private Python environment: only pip in venv/, what an installation carries in dependencies/.

$(VENV)/stamp: $(PACKAGES)-build.stamp $(OUTDATED)
	@echo 'build: an environment for Python'
	@$(PYTHON) -m venv --clear '$(VENV)'
	@touch $@

$(ROOM)/dependencies.stamp: packaging/requirements.txt $(VENV)/stamp
	@rm -rf '$(ROOM)/dependencies'
	@echo 'build: the Python packages that an installation carries$(if $(WHEELS),$(comma) from $(WHEELS))'
	@$(PIP) install --target '$(ROOM)/dependencies' -r $<
	@touch $@

$(ROOM)/tools.stamp: packaging/requirements-test.txt $(VENV)/stamp
	@echo 'build: the tools of the tests'
	@$(PIP) install -r $<
	@touch $@

# The source tree as a Python finds it: links to the two packages beside their entry points, on the path of venv/.
$(ROOM)/python.stamp: pyproject.toml jailssh/__init__.py packaging/metadata.py $(ROOM)/dependencies.stamp
	@mkdir -p '$(ROOM)/python'
	@ln -sfn '$(CURDIR)/jailssh' '$(ROOM)/python/jailssh'
	@ln -sfn '$(CURDIR)/plugins' '$(ROOM)/python/jailssh_plugins'
	@$(VENV)/bin/python packaging/metadata.py '$(ROOM)/python'
	@printf '%s\n' '$(ROOM)/python' '$(ROOM)/dependencies' >"$(SITE)/jailssh.pth"
	@touch $@

tools: build $(ROOM)/tools.stamp ## build, and what the tests and the linters need

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1@/p' '$(MAKEFILE_LIST)' | awk -F@ '{ printf "make %-12s %s\n", $$1, $$2 }'

# Running.

TEST_PACKAGES = $(foreach name,demo python test deb,$(PACKAGES)-$(name).stamp)

test: tools $(TEST_PACKAGES) ## every test; JOBS=0 in one process, ARGS='tests/unit -x' for pytest
	@$(VENV)/bin/python -m pytest -n $(JOBS) $(ARGS)

check: tools ## house rules, types, unit and golden tests; FILES='A B' the rules for these files
	@if test -n '$(FILES)'; then \
	    $(VENV)/bin/python -m pytest -q -m "not slow" tests/lint $(addprefix --file ,$(FILES)) $(ARGS); \
	else \
	    $(VENV)/bin/python -m pytest -q -n $(JOBS) -m "not slow" tests/lint tests/unit tests/golden $(ARGS); \
	fi

# All points at which a command is interrupted, and all orders in which the relay is woken, of which make test takes a part
# that is another one each day; for the night.
MATRIX = $$(grep -rl --include='test_*.py' 'tests.harness.sampling' tests)

test-matrix: tools $(PACKAGES)-demo.stamp $(PACKAGES)-test.stamp ## every point at which a command is interrupted
	@JAILSSH_MATRIX=all $(VENV)/bin/python -m pytest $(MATRIX) $(ARGS)

# Whether the tests see it when a check is left out of the programs, one after the other: some 20 minutes on two idle cores.
# make test-mutations ARGS='"MUST 8" undo' makes those whose names have one of the words.
test-mutations: tools $(PACKAGES)-demo.stamp $(PACKAGES)-test.stamp ## leave out each check, one after the other: the tests must see it; ARGS='"MUST 8" undo'
	@$(VENV)/bin/python -m tests.mutations $(ARGS)

# What CPython, bash, OpenSSH, rsync and git test of themselves, from the sources of the host's Debian mirror.
# make test-suites ARGS='--suite bash' runs one of them.
test-suites: tools $(PACKAGES)-demo.stamp ## other projects' own tests, in a jail and not; each difference needs a reason
	@$(VENV)/bin/python -m tests.suites $(ARGS)

# The Debian package built, and its story told on a booted Debian 12 and 13: installed, used, upgraded, removed, purged.
# make test tells it on Debian 12, and tries the languages of the other one.
test-system: tools $(TEST_PACKAGES) ## the Debian package on booted Debian 12 and 13, from installation to purge; languages
	@JAILSSH_MUST_RUN=all JAILSSH_SYSTEM=all $(VENV)/bin/python -m pytest -n $(if $(filter 0,$(JOBS)),0,3) tests/system/test_package.py tests/system/test_package_built.py \
	    tests/system/test_tools_booted.py $(ARGS)

lint: tools ## the house rules alone, with the analysers of C
	@$(VENV)/bin/python -m pytest -n $(JOBS) tests/lint $(ARGS)

demo: $(PACKAGES)-demo.stamp ## a private sshd with jailed accounts and real logins; leaves nothing behind
	@$(MAKE) --silent install DESTDIR='$(ROOM)/demo' PREFIX=/usr/local >/dev/null
	@'$(ROOM)/demo/usr/local/bin/jailssh' demo

bench: tools $(PACKAGES)-demo.stamp $(PACKAGES)-bench.stamp ## measure beside Jailkit and bubblewrap
	@$(VENV)/bin/python -m tests.bench $(ARGS)

bench-quick: tools $(PACKAGES)-demo.stamp $(PACKAGES)-bench.stamp ## the login alone, in a minute
	@$(VENV)/bin/python -m tests.bench --only login --runs 120

# Installing.

stage: $(STAGE_NEEDS)
	@case '$(PREFIX)' in /*) ;; *) echo 'install: PREFIX=$(PREFIX): not an absolute path' >&2; exit 1 ;; esac
	@$(SAY_LIBRARY)
	@echo 'install: compiling'
	@CC="$(LOGIN_CC)" packaging/quietly meson setup $$(test -d '$(STAGE_BUILD)/meson-info' && echo --reconfigure) '$(STAGE_BUILD)' '$(CURDIR)' --prefix='$(PREFIX)' --libexecdir=libexec \
	    -Dpython.purelibdir='$(PREFIX)/lib/jailssh/python' -Dpython.platlibdir='$(PREFIX)/lib/jailssh/python' -Dsystem_packages=$(if $(SYSTEM_PACKAGES),true,false)
	@rm -rf '$(STAGE)'
	@packaging/quietly ninja -C '$(STAGE_BUILD)'
	@PYTHONPATH='$(if $(SYSTEM_PACKAGES),/usr/lib/python3/dist-packages,$(ROOM)/dependencies)' DESTDIR='$(STAGE)' packaging/quietly meson install -C '$(STAGE_BUILD)' --no-rebuild --quiet
ifeq ($(SYSTEM_PACKAGES),)
	@cp -R '$(ROOM)/dependencies/.' '$(STAGE)$(PREFIX)/lib/jailssh/python'
	@rm -rf '$(STAGE)$(PREFIX)/lib/jailssh/python/bin'
endif
	@$(PYTHON) packaging/metadata.py '$(STAGE)$(PREFIX)/lib/jailssh/python'
	@$(PYTHON) -m compileall -q -s '$(STAGE)' '$(STAGE)$(PREFIX)/lib/jailssh/python'

wheels: $(VENV)/stamp ## fill WHEELS=DIR, for make install WHEELS=DIR on a host without a network
	@test -n '$(WHEELS)' || { echo 'wheels: say where: make wheels WHEELS=DIR' >&2; exit 1; }
	@echo 'wheels: into $(WHEELS)'
	@$(VENV)/bin/pip --quiet --quiet wheel --use-pep517 --wheel-dir '$(WHEELS)' -r packaging/requirements.txt

install: stage ## into PREFIX=/usr/local below DESTDIR; without a network: WHEELS=DIR or SYSTEM_PACKAGES=1
	@echo 'install: files into $(DESTDIR)$(PREFIX)'
	@$(PYTHON) packaging/install.py install '$(STAGE)' '$(DESTDIR)' '$(PREFIX)'

uninstall: ## take away what install put
	@$(PYTHON) packaging/install.py uninstall '$(DESTDIR)' '$(PREFIX)'

# Packages.

deb: $(PACKAGES)-build.stamp $(PACKAGES)-python.stamp $(PACKAGES)-deb.stamp ## the Debian package, in build/deb
	@echo 'deb: building'
	@rm -rf '$(ROOM)/deb'
	@packaging/make-deb '$(ROOM)/deb'

rpm: $(PACKAGES)-build.stamp $(PACKAGES)-python.stamp $(PACKAGES)-deb.stamp ## the package of rpm, in build/rpm
	@echo 'rpm: building'
	@rm -rf '$(ROOM)/rpm'
	@packaging/make-rpm '$(ROOM)/rpm'

clean: ## remove build/
	rm -rf '$(ROOM)'
