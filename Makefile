# make, make demo, make test, make bench, make lint; make install and make uninstall with PREFIX and DESTDIR.
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
# Further arguments for pytest: make test ARGS='tests/unit -x'
ARGS =

ROOM := $(CURDIR)/build
VENV := $(ROOM)/venv
MESON_BUILD := $(ROOM)/meson
# Beside the one above, so that another PREFIX does not compile the tests' programs anew.
STAGE_BUILD = $(ROOM)/meson-install
STAGE = $(ROOM)/stage
PACKAGES := $(ROOM)/packages
SITE = $$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: build tools test test-matrix demo bench lint stage install uninstall clean

build: $(ROOM)/python.stamp
	@test -f '$(MESON_BUILD)/build.ninja' || CC="$(LOGIN_CC)" packaging/quietly meson setup '$(MESON_BUILD)' '$(CURDIR)'
	@ninja --quiet -C '$(MESON_BUILD)'

# Debian packages.

$(PACKAGES)-%.stamp: packaging/packages-%.txt packaging/install-packages
	@mkdir -p '$(ROOM)'
	@packaging/install-packages $<
	@touch $@

# The private Python environment: only pip in venv/, what an installation carries in dependencies/.

$(VENV)/stamp: $(PACKAGES)-build.stamp
	@$(PYTHON) -m venv --clear '$(VENV)'
	@touch $@

$(ROOM)/dependencies.stamp: packaging/requirements.txt $(VENV)/stamp
	@rm -rf '$(ROOM)/dependencies'
	@$(VENV)/bin/pip install --quiet --quiet --target '$(ROOM)/dependencies' -r $<
	@touch $@

$(ROOM)/tools.stamp: packaging/requirements-test.txt $(VENV)/stamp
	@$(VENV)/bin/pip install --quiet --quiet -r $<
	@touch $@

# The source tree as a Python finds it: links to the two packages beside their entry points, on the path of venv/.
$(ROOM)/python.stamp: pyproject.toml jailssh/__init__.py packaging/metadata.py $(ROOM)/dependencies.stamp
	@mkdir -p '$(ROOM)/python'
	@ln -sfn '$(CURDIR)/jailssh' '$(ROOM)/python/jailssh'
	@ln -sfn '$(CURDIR)/plugins' '$(ROOM)/python/jailssh_plugins'
	@$(VENV)/bin/python packaging/metadata.py '$(ROOM)/python'
	@printf '%s\n' '$(ROOM)/python' '$(ROOM)/dependencies' >"$(SITE)/jailssh.pth"
	@touch $@

tools: build $(ROOM)/tools.stamp

# Running.

test: tools $(PACKAGES)-demo.stamp $(PACKAGES)-test.stamp
	@$(VENV)/bin/python -m pytest $(ARGS)

# All cases of the matrix of interruptions, of which make test takes a part; for the night.
test-matrix: tools $(PACKAGES)-demo.stamp $(PACKAGES)-test.stamp
	@JAILSSH_MATRIX=all $(VENV)/bin/python -m pytest tests/root/test_matrix.py $(ARGS)

lint: tools
	@$(VENV)/bin/python -m pytest tests/lint $(ARGS)

demo: $(PACKAGES)-demo.stamp
	@$(MAKE) --silent install DESTDIR='$(ROOM)/demo' PREFIX=/usr/local >/dev/null
	@'$(ROOM)/demo/usr/local/bin/jailssh' demo

bench: tools $(PACKAGES)-demo.stamp $(PACKAGES)-bench.stamp
	@$(VENV)/bin/python -m tests.bench $(ARGS)

# Installing.

stage: $(ROOM)/python.stamp
	@case '$(PREFIX)' in /*) ;; *) echo 'install: PREFIX=$(PREFIX): not an absolute path' >&2; exit 1 ;; esac
	@CC="$(LOGIN_CC)" packaging/quietly meson setup $$(test -d '$(STAGE_BUILD)/meson-info' && echo --reconfigure) '$(STAGE_BUILD)' '$(CURDIR)' --prefix='$(PREFIX)' --libexecdir=libexec \
	    -Dpython.purelibdir='$(PREFIX)/lib/jailssh/python' -Dpython.platlibdir='$(PREFIX)/lib/jailssh/python'
	@rm -rf '$(STAGE)'
	@packaging/quietly ninja -C '$(STAGE_BUILD)'
	@PYTHONPATH='$(ROOM)/dependencies' DESTDIR='$(STAGE)' packaging/quietly meson install -C '$(STAGE_BUILD)' --no-rebuild --quiet
	@cp -R '$(ROOM)/dependencies/.' '$(STAGE)$(PREFIX)/lib/jailssh/python'
	@rm -rf '$(STAGE)$(PREFIX)/lib/jailssh/python/bin'
	@$(PYTHON) packaging/metadata.py '$(STAGE)$(PREFIX)/lib/jailssh/python'
	@$(PYTHON) -m compileall -q -s '$(STAGE)' '$(STAGE)$(PREFIX)/lib/jailssh/python'

install: stage
	@$(PYTHON) packaging/install.py install '$(STAGE)' '$(DESTDIR)' '$(PREFIX)'

uninstall:
	@$(PYTHON) packaging/install.py uninstall '$(DESTDIR)' '$(PREFIX)'

clean:
	rm -rf '$(ROOM)'
