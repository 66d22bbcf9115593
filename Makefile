# The commands of the project. Everything that is built or downloaded goes below target/.

SHELL := /bin/bash
PYTHON ?= python3
PEERS := target/peers
CHARTS := target/charts
SITE := target/demo/site
PLUGINS := target/plugins
STOCK := broadcast chat secured sync
SHOWN := demo greeting
# The address of the demo, and further options of its server.
LISTEN ?= 127.0.0.1:8080
FLAGS ?=
COMMANDS := --package jackfield --package jackfield-bench
# The tests, the measurements and the package have every feature.
FEATURES := --features jackfield/otlp,jackfield/cluster
WHOLE := $(COMMANDS) $(FEATURES)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: demo-plan build plugins ## Build everything, and serve a demo site: http://127.0.0.1:8080/demo/ (LISTEN=127.0.0.1:8081)
	@sed 's|127\.0\.0\.1:8080|$(LISTEN)|g' docs/demo.txt
	@target/release/jackfield serve --demo --listen $(LISTEN) $(FLAGS) $(SITE)

.PHONY: demo-plan
demo-plan:
	@echo "1. build the server and the load generator: $$(test -x target/release/jackfield && echo 'seconds, as only changed parts are compiled' || echo 'about 18 minutes on two cores, the first time only')"
	@echo "2. build the example plugins: $$(test -d $(PLUGINS) && echo 'seconds' || echo 'about a minute, the first time only')"
	@echo "3. serve the demo on http://$(LISTEN)/demo/ until Ctrl-C"

.PHONY: cluster
cluster: toolchain nats plugins ## Serve the demo on three nodes of a cluster (PORT=9081, NATS_PORT=4223)
	cargo build --release --locked $(WHOLE)
	@docs/demo/cluster.sh $(SITE) target/demo/cluster

.PHONY: build
build: toolchain ## Build the server and the load generator
	cargo build --release --locked $(COMMANDS)

# Each file is renamed into place, so that a server that watches the site never reads an incomplete
# one. Routes come last, so that it never reads them without their handlers.
define place
	@for plugin in $(1); do \
		mkdir -p $(SITE)/$$plugin && \
		place() { cmp -s $$1 $$2 || { cp $$1 $$2.tmp && mv $$2.tmp $$2; }; } && \
		place $(PLUGINS)/wasm32-wasip2/release/jackfield_$$plugin.wasm $(SITE)/$$plugin/$$plugin.wasm && \
		place plugins/$$plugin/websocket_routing.yml $(SITE)/$$plugin/websocket_routing.yml || exit 1; \
	done
endef

# The greeting keeps the text of the last `make greeting`, so that building the other plugins does
# not change the page.
GREETING_TEXT = $(PLUGINS)/greeting.text
GREETING_BUILT = $(PLUGINS)/greeting.built

.PHONY: plugins
plugins: export JACKFIELD_GREETING = $(shell cat '$(GREETING_TEXT)' 2>/dev/null)
plugins: export JACKFIELD_GREETING_BUILT = $(shell cat '$(GREETING_BUILT)' 2>/dev/null)
plugins: toolchain ## Build the stock plugins as components, into the demo site
	cargo build --release --locked --target wasm32-wasip2 --manifest-path plugins/Cargo.toml --target-dir $(PLUGINS)
	$(call place,$(STOCK) $(SHOWN))
	@echo "the demo site is in $(SITE)"

# The demo's page shows this text. It is compiled into the component, and reaches the compiler
# unchanged, including quotes.
# With SHADOW=1, the new version runs in the shadow of the one that serves, until it is promoted.
.PHONY: greeting
greeting: export JACKFIELD_GREETING = $(or $(TEXT),Good morning)
greeting: export JACKFIELD_GREETING_BUILT = $(shell date +%H:%M:%S)
greeting: toolchain ## Replace the demo's greeting while it is served (TEXT='Good evening', SHADOW=1)
	@cargo build --quiet --release --locked --target wasm32-wasip2 --manifest-path plugins/Cargo.toml --target-dir $(PLUGINS) --package jackfield-greeting
ifeq ($(SHADOW),)
	@printf '%s' "$$JACKFIELD_GREETING" > '$(GREETING_TEXT)'
	@printf '%s' "$$JACKFIELD_GREETING_BUILT" > '$(GREETING_BUILT)'
	@rm -f $(SITE)/greeting/greeting.shadow.wasm
	$(call place,greeting)
	@echo "the greeting in $(SITE) is replaced; a running server loads it automatically"
else
	@cp $(PLUGINS)/wasm32-wasip2/release/jackfield_greeting.wasm $(SITE)/greeting/greeting.shadow.wasm.tmp
	@mv $(SITE)/greeting/greeting.shadow.wasm.tmp $(SITE)/greeting/greeting.shadow.wasm
	@echo "the new greeting is in the shadow of the one that serves"
endif

# Cargo compiles a dependency once for each set of its features. So tests may not need other features of
# one than the commands, and the workspace is always built with the features of the commands.
.PHONY: test
test: toolchain peers languages-test chromium systemd $(CHARTS)/stamp ## Install what the tests need, and run all of them
	node --test host/browser/test/
	cargo test --release --locked --manifest-path plugins/Cargo.toml --target-dir $(PLUGINS)
	cargo build --release --locked $(WHOLE)
	cargo test --release --locked --workspace $(FEATURES) --doc --no-fail-fast
	cargo test --release --locked --workspace $(FEATURES) --lib --bins --test sql --test corpus --no-fail-fast
	cargo test --release --locked --workspace $(FEATURES) --test it

.PHONY: bars
bars: toolchain ## Measure the quality bars: latency, reload, start, memory
	cargo build --release --locked $(WHOLE)
	cargo build --release --locked --workspace $(FEATURES) --bin bars
	@target/release/bars

# All results are written below target/bench first. QUICK=1 takes two minutes and does not change
# docs, ONLY="fan-out latency" measures single figures, RESUME=1 continues an interrupted run.
.PHONY: bench
bench: bench-built $(PEERS)/node.stamp $(CHARTS)/stamp ## Measure Jackfield and other servers, and write docs/performance.md (QUICK=1)
	@mkdir -p target/bench
	$(if $(QUICK)$(ONLY),,target/release/bars $(CURDIR)/target/bench/bars.json)
	$(if $(QUICK)$(ONLY),,$(MAKE) isolation)
	$(CHARTS)/bin/python tests/bench $(if $(QUICK),--quick) $(if $(RESUME),--resume) $(addprefix --only ,$(ONLY)) --bars target/bench/bars.json

.PHONY: bench-peers
bench-peers: $(PEERS)/node.stamp $(CHARTS)/stamp ## Download the other servers of `make bench`
	$(CHARTS)/bin/python tests/bench --fetch-only

.PHONY: bench-built
bench-built: toolchain
	cargo build --release --locked $(WHOLE)
	cargo build --release --locked --workspace $(FEATURES) --bin floor --bin bars
	cargo build --release --locked --target wasm32-wasip2 --manifest-path plugins/Cargo.toml --target-dir $(PLUGINS)
	cargo build --release --locked --target wasm32-wasip2 --manifest-path tests/guests/Cargo.toml --target-dir target/guests

.PHONY: soak
soak: toolchain $(CHARTS)/stamp ## Run all uses for ten minutes, and check that memory does not grow (MINUTES=1)
	cargo build --release --locked --workspace $(FEATURES) --bin soak
	@mkdir -p target/bench
	@target/release/soak $(or $(MINUTES),10) target/bench/soak.json; ended=$$?; \
		$(CHARTS)/bin/python tests/bench --draw target/bench/soak.json $(if $(MINUTES),--out target/bench/soak) && exit $$ended

.PHONY: isolation
isolation: toolchain $(CHARTS)/stamp ## Measure a healthy topic while plugins spin, allocate, trap and compile (LENGTH=1 ROUNDS=1)
	cargo build --release --locked $(WHOLE)
	cargo build --release --locked --workspace $(FEATURES) --bin isolation
	@mkdir -p target/bench
	$${CARGO_TARGET_DIR:-target}/release/isolation $(or $(LENGTH),5) $(or $(ROUNDS),5) target/bench/isolation.json
	$(CHARTS)/bin/python tests/bench --draw target/bench/isolation.json $(if $(LENGTH)$(ROUNDS),--out target/bench/isolation)

.PHONY: package
package: toolchain ## Build the Debian package for production: target/package/jackfield_*.deb (about ten minutes)
	cargo build --profile dist --locked $(WHOLE)
	packaging/debian/build.sh target/dist target/package

# The build has a folder of its own, because it needs other flags of the parts in C.
TARGETS ?= x86_64-unknown-linux-musl aarch64-unknown-linux-musl
.PHONY: static
static: toolchain ## Build static binaries with musl, and check that they serve (TARGETS=aarch64-unknown-linux-musl)
	@for target in $(TARGETS); do CARGO_TARGET_DIR=target/static packaging/static.sh $$target || exit 1; done

.PHONY: sbom
sbom: toolchain ## List all parts of the package and of the plugins: target/sbom/*.cdx.json (CycloneDX)
	$(PYTHON) packaging/sbom.py server target/sbom/jackfield.cdx.json
	$(PYTHON) packaging/sbom.py plugins target/sbom/plugins.cdx.json

# ONLY=text runs the benchmarks with this text in their names.
.PHONY: micro
micro: toolchain ## Measure single parts: codecs, routing, fan-out, a hook's call (ONLY=text)
	cargo bench --locked --workspace --bench '*' -- $(ONLY)

# The compiler is stable; libFuzzer's counters need flags that it has for the compiler itself alone.
# Nothing here is unsafe, so that no sanitizer is needed. Memory is limited.
FUZZ = cargo fuzz run --fuzz-dir tests/fuzz --release --sanitizer none
FUZZ_FLAGS = -max_total_time=$(or $(SECONDS),60) -max_len=4096 -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 -print_final_stats=1
TARGETS = v1_json v2_json v2_message_pack v2_cbor web_socket raw_socket routes peers histories sessions

.PHONY: fuzz
fuzz: export RUSTC_BOOTSTRAP = 1
fuzz: export CARGO_TARGET_DIR = $(CURDIR)/target/fuzz
fuzz: export PATH := $(CURDIR)/target/cargo-fuzz/bin:$(PATH)
fuzz: toolchain target/cargo-fuzz/stamp ## Run each fuzz target for a minute (SECONDS=600, ONLY=sessions)
	@for target in $(or $(ONLY),$(TARGETS)); do \
		mkdir -p target/fuzz/corpus/$$target; \
		$(FUZZ) $$target target/fuzz/corpus/$$target tests/fuzz/corpus/$$target -- $(FUZZ_FLAGS) || exit 1; \
	done

target/cargo-fuzz/stamp:
	cargo install --locked --version 0.13.2 --root target/cargo-fuzz cargo-fuzz
	touch $@

.PHONY: instructions
instructions: toolchain valgrind ## Count the hot path's instructions; fail if they grew by a tenth (ACCEPT=1)
	cargo build --release --locked $(WHOLE)
	cargo build --release --locked --workspace $(FEATURES) --bin instructions
	$${CARGO_TARGET_DIR:-target}/release/instructions $(if $(ACCEPT),--accept)

# A broken link or anchor fails the build.
.PHONY: docs
docs: toolchain target/site-docs-venv/stamp ## Build the documentation as a searchable site: target/site-docs/index.html
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --release --locked --package jackfield-plugin --no-deps --target-dir target/site-docs-rust
	NO_MKDOCS_2_WARNING=1 target/site-docs-venv/bin/mkdocs build
	@echo "open target/site-docs/index.html; for the search: $(PYTHON) -m http.server --directory target/site-docs"

target/site-docs-venv/stamp: docs/site/requirements.txt | venv
	$(call install-python,$(@D))

.PHONY: lint
lint: toolchain ## Check format, lints and rustdoc, as CI does
	cargo fmt --all --check
	cargo fmt --all --check --manifest-path plugins/Cargo.toml
	cargo fmt --all --check --manifest-path tests/guests/Cargo.toml
	cargo clippy --release --locked --workspace $(FEATURES) --all-targets -- -D warnings
	for features in '' http sql; do \
		cargo clippy --release --locked --package jackfield-auth --all-targets \
			--no-default-features --features "$$features" -- -D warnings || exit 1; \
	done
	cargo clippy --release --locked --manifest-path plugins/Cargo.toml --target-dir $(PLUGINS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --release --locked --workspace $(FEATURES) --no-deps --document-private-items

# Nothing is compiled. A stale exception of deny.toml is an error in the workspace alone: the other two
# have fewer dependencies.
DENY = target/deny/bin/cargo-deny --locked --config deny.toml --manifest-path
FEWER = -A unmatched-skip -A unnecessary-skip -A license-not-encountered -A license-exception-not-encountered
OTHERS = plugins tests/guests

.PHONY: deny
deny: toolchain target/deny/stamp ## Check licences, sources, duplicates and build scripts of all dependencies (deny.toml)
	$(DENY) Cargo.toml check -D unmatched-skip -D unnecessary-skip bans licenses sources
	for workspace in $(OTHERS); do \
		$(DENY) $$workspace/Cargo.toml --target wasm32-wasip2 check $(FEWER) bans licenses sources || exit 1; \
	done

# RustSec's database is a Git repository, which CI cannot reach.
.PHONY: advisories
advisories: toolchain target/deny/stamp ## Compare all dependencies with the advisories of RustSec, which it downloads
	for workspace in . $(OTHERS); do $(DENY) $$workspace/Cargo.toml check advisories || exit 1; done

target/deny/stamp: .ci/requirements.txt | venv
	$(call install-python,$(@D))

# The Rust toolchain is rustup's; missing parts of it are added once.
.PHONY: toolchain
toolchain:
	@command -v cc >/dev/null || { echo "a C compiler is missing: apt-get install build-essential"; exit 1; }
	@command -v rustup >/dev/null || { echo "rustup is missing: it installs Rust, see rustup.rs"; exit 1; }
	@rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy

.PHONY: systemd
systemd:
	@command -v systemd-analyze >/dev/null || { \
		test "$$(id -u)" = 0 || { echo "systemd-analyze is missing: apt-get install systemd"; exit 1; }; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends systemd; \
	}

.PHONY: nats
nats:
	@command -v nats-server >/dev/null || { \
		test "$$(id -u)" = 0 || { echo "nats-server is missing: apt-get install nats-server"; exit 1; }; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends nats-server; \
	}

.PHONY: valgrind
valgrind:
	@command -v valgrind >/dev/null || { \
		test "$$(id -u)" = 0 || { echo "valgrind is missing: apt-get install valgrind"; exit 1; }; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends valgrind; \
	}

.PHONY: venv
venv:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		test "$$(id -u)" = 0 || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }; \
		apt-get update -qq && apt-get install -qq -y python3-venv; \
	}

# Installs the requirements that are the first prerequisite into a virtual environment.
define install-python
	rm -rf $(1)
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
endef

# matplotlib draws the charts of `make bench` and `make soak`.
$(CHARTS)/stamp: tests/bench/requirements.txt | venv
	$(call install-python,$(@D))

.PHONY: chromium
chromium:
	@test -x "$${JACKFIELD_CHROMIUM:-/usr/bin/chromium}" || { \
		test "$$(id -u)" = 0 || { echo "chromium is missing: apt-get install chromium"; exit 1; }; \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; \
	}

.PHONY: peers
peers: $(PEERS)/python.stamp $(PEERS)/python2.stamp $(PEERS)/node.stamp ## Download the third-party WAMP clients for the tests

# A stamp marks a complete folder: it is written last. A stamp older than its sources makes the folder
# again.
$(PEERS)/python.stamp: tests/peers/python/requirements.txt | venv
	$(call install-python,$(PEERS)/python)

# The last Python client for WAMP v1 needs Python 2.7; without it, its tests are left out. A pyenv
# shim may exist without a working Python, so it is tried first.
$(PEERS)/python2.stamp: tests/peers/python/requirements-2.7.txt
	rm -rf $(PEERS)/python2
	mkdir -p $(PEERS)
	@for python in python2.7 $(HOME)/.pyenv/versions/2.7.*/bin/python2.7; do \
		$$python -m pip --version >/dev/null 2>&1 || continue; \
		$$python -m pip install --quiet --disable-pip-version-check \
			--target $(PEERS)/python2 --requirement $< 2>$(PEERS)/python2.log \
			|| { cat $(PEERS)/python2.log; exit 1; }; \
		ln -s "$$($$python -c 'import sys; print(sys.executable)')" $(PEERS)/python2/python; \
		break; \
	done; \
	test -e $(PEERS)/python2 || echo "Python 2.7 not found: tests with autobahn 0.8.15 are left out"
	touch $@

.PHONY: languages
languages: $(PEERS)/languages/sdk.stamp $(PEERS)/python/sdk.stamp ## Download the tools that compile JavaScript and Python to plugins

$(PEERS)/languages.stamp: tests/peers/languages/package.json tests/peers/languages/package-lock.json tests/peers/languages/.npmrc
	rm -rf $(PEERS)/languages
	mkdir -p $(PEERS)/languages
	cp $^ $(PEERS)/languages
	cd $(PEERS)/languages && npm ci --prefer-offline --silent
	touch $@

# The SDKs are installed from the packages that are published, so that a file which these lack is
# missed by a test.
$(PEERS)/languages/sdk.stamp: $(PEERS)/languages.stamp $(wildcard plugin-sdk/js/*.json plugin-sdk/js/*/*.js plugin-sdk/js/src/*)
	rm -rf $(@D)/node_modules/jackfield-plugin
	mkdir -p $(@D)/node_modules/jackfield-plugin
	npm pack --silent --pack-destination $(@D) ./plugin-sdk/js
	tar -xzf $(@D)/jackfield-plugin-*.tgz --strip-components=1 -C $(@D)/node_modules/jackfield-plugin
	rm $(@D)/jackfield-plugin-*.tgz
	touch $@

$(PEERS)/python/sdk.stamp: $(PEERS)/python.stamp $(wildcard plugin-sdk/python/*.toml plugin-sdk/python/jackfield_plugin/*)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall ./plugin-sdk/python
	touch $@

# The tests of these SDKs and of the bundles that are written with them, without a server.
.PHONY: languages-test
languages-test: export PYTHONDONTWRITEBYTECODE = 1
languages-test: languages ## Test the SDKs and bundles in JavaScript and Python
	rm -rf $(PEERS)/languages/bundles/polls
	mkdir -p $(PEERS)/languages/bundles
	tar -C plugins --exclude=node_modules -cf - polls | tar -xf - -C $(PEERS)/languages/bundles
	node --test plugin-sdk/js/test/
	node --test $(PEERS)/languages/bundles/polls/tests/
	cd plugin-sdk/python && $(CURDIR)/$(PEERS)/python/bin/python -m unittest --quiet
	cd plugins/moderation && $(CURDIR)/$(PEERS)/python/bin/python -m unittest --quiet

$(PEERS)/node.stamp: tests/peers/node/package.json tests/peers/node/package-lock.json tests/peers/node/.npmrc
	rm -rf $(PEERS)/node
	mkdir -p $(PEERS)/node
	cp $^ $(PEERS)/node
	cd $(PEERS)/node && npm ci --prefer-offline --silent
	touch $@
