# daemonlet: build, test, show, measure, install. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-builtin-rules
.PHONY: help build documents deb check lint deny test test-containerd test-vm demo demo-etcd bench soak fuzz install uninstall clean

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Another machine's architecture, as Rust names it: `make deb RUST_TARGET=aarch64-unknown-linux-gnu`, with a linker for it.
RUST_TARGET ?=
BINARY := $(TARGET)/$(if $(RUST_TARGET),$(RUST_TARGET)/)release/daemonlet
DOCUMENTS := $(TARGET)/documents
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
SOAK_MINUTES ?= 10
SOAK_SEED ?=
FUZZ_SECONDS ?= 60
VM_SUITE ?= bookworm
CONTAINERD_SUITE ?= forky

# Shell assignments that find, and if need be fetch, what a group of targets needs of the machine.
needs = assignments=$$(examples/requirements.sh $(1)); eval "$$assignments"

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | sort | column -t -s $$'\t'

build: ## the release binary
	@$(call needs,build); $(CARGO) build --release --locked --bin daemonlet $(addprefix --target=,$(RUST_TARGET))
	@ls -l $(BINARY)

documents: ## man pages and shell completions
	@$(call needs,build); rm -rf $(DOCUMENTS); $(CARGO) run --locked --quiet --example documents $(DOCUMENTS)

deb: build documents ## the Debian package, for this machine's architecture or RUST_TARGET's
	@systemd/deb/build.sh $(BINARY) $(DOCUMENTS) $(TARGET)/deb

check: ## what is quick: format, lints, unit tests
	@$(call needs,build); $(MAKE) --no-print-directory lint
	@$(call needs,build); $(CARGO) test --locked --lib --quiet

lint:
	@$(call needs,build); $(CARGO) fmt --check
	@$(call needs,build); $(CARGO) clippy --locked --all-targets --quiet -- -D warnings

# The list of known vulnerabilities comes from the network. A machine without it still checks licences, bans and sources.
deny:
	@$(call needs,build); \
	if ! $(CARGO) deny --version >/dev/null 2>&1; then \
	  echo "NOTICE: cargo-deny is not installed (cargo install --locked cargo-deny): dependencies are not checked"; \
	else \
	  $(CARGO) deny --log-level error check --hide-inclusion-graph bans licenses sources; \
	  if $(CARGO) deny --log-level error fetch db 2>/dev/null; then \
	    $(CARGO) deny --log-level error check --disable-fetch advisories; \
	  else \
	    echo "NOTICE: the advisory database is out of reach: dependencies are not checked for vulnerabilities"; \
	  fi; \
	fi

test: ## everything: format, lints, dependencies, all tests, those with a real containerd included
	@$(call needs,build test); $(MAKE) --no-print-directory lint deny
	@$(call needs,build test); \
	if [ -z "$${DAEMONLET_SHARED:-}" ]; then \
	  echo "NOTICE: DAEMONLET_SHARED is not set: the shared cases are not compared with"; \
	fi; \
	$(CARGO) test --locked --doc --quiet; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --locked --no-fail-fast; \
	else \
	  $(CARGO) test --locked --no-fail-fast --lib --bins --tests; \
	fi

test-containerd: ## the tests with a real containerd on that of another Debian release (CONTAINERD_SUITE=trixie has 1.7, forky 2.1)
	@$(call needs,build test); \
	bin=$$(examples/containerd.sh $(CONTAINERD_SUITE)); export PATH="$$bin:$$PATH"; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --locked --no-fail-fast --test e2e; \
	else \
	  $(CARGO) test --locked --no-fail-fast --test e2e; \
	fi

test-vm: documents ## a whole virtual machine with the package: systemd, cgroup v2, reboots, power cuts (VM_SUITE=bookworm, trixie …)
	@$(call needs,build vm); $(CARGO) build --release --locked --quiet --bin daemonlet; tests/vm/run.sh $(VM_SUITE)

demo: ## daemonlet at work on this machine, which is left as it was
	@examples/demo.sh

demo-etcd: ## three nodes on this machine bring up a three-member etcd; one is cut off and comes back
	@$(call needs,build run etcd); $(CARGO) build --release --locked --quiet --bin daemonlet; \
	DEMO_BINARY=$(TARGET)/release/daemonlet examples/etcd/run.sh

bench: ## the numbers of benches/README.md
	@$(call needs,build run); $(CARGO) bench --locked

soak: ## faults at random on a real containerd for SOAK_MINUTES, and a node full of pods; SOAK_SEED=… plays one seed again
	@$(call needs,build test); \
	export SOAK_MINUTES=$(SOAK_MINUTES) SOAK_SEED=$(SOAK_SEED); \
	if [ -z "$$SOAK_SEED" ]; then \
	  $(CARGO) test --locked --quiet --test e2e -- --ignored --nocapture faults::many; \
	fi; \
	$(CARGO) test --locked --quiet --test e2e -- --ignored --nocapture soak::

fuzz: ## whatever may be read, fed with anything: FUZZ_SECONDS for each target; needs a nightly compiler and cargo-fuzz
	@$(call needs,build); \
	for target in $$($(CARGO) +nightly fuzz list); do \
	  mkdir -p $(TARGET)/fuzz-corpus/$$target; \
	  $(CARGO) +nightly fuzz run --target-dir $(TARGET)/fuzz $$target $(TARGET)/fuzz-corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=10 -print_final_stats=1; \
	done

install: ## below DESTDIR and PREFIX, with the unit, a commented configuration, man pages and completions
	@[ -x $(BINARY) ] || { echo "there is no $(BINARY) yet: run make build documents first" >&2; exit 1; }
	@[ -d $(DOCUMENTS)/man1 ] || { echo "there is no $(DOCUMENTS)/man1 yet: run make build documents first" >&2; exit 1; }
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/daemonlet
	install -d -m 0755 $(DESTDIR)$(UNITDIR)
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|g' systemd/daemonlet.service >$(DESTDIR)$(UNITDIR)/daemonlet.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/daemonlet.service
	install -d -m 0750 $(DESTDIR)$(SYSCONFDIR)/daemonlet $(DESTDIR)$(SYSCONFDIR)/daemonlet/manifests
	@# What an administrator has written stays.
	[ -e $(DESTDIR)$(SYSCONFDIR)/daemonlet/config.yaml ] || \
	  install -m 0640 systemd/config.yaml $(DESTDIR)$(SYSCONFDIR)/daemonlet/config.yaml
	[ -e $(DESTDIR)$(SYSCONFDIR)/daemonlet/node.yaml ] || \
	  install -m 0644 systemd/node.yaml $(DESTDIR)$(SYSCONFDIR)/daemonlet/node.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/daemonlet README.md CHANGELOG.md ARCHITECTURE.md
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/daemonlet/docs docs/*.md
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/daemonlet/systemd systemd/README.md systemd/config.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/daemonlet/benches benches/README.md
	for example in cni etcd; do \
	  install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/daemonlet/examples/$$example examples/$$example/README.md; \
	done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(DOCUMENTS)/man1/*.1
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DOCUMENTS)/completions/bash/daemonlet
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions $(DOCUMENTS)/completions/zsh/_daemonlet
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DOCUMENTS)/completions/fish/daemonlet.fish
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "Installed. Start it with: systemctl enable --now daemonlet"

uninstall: ## what install has put there; configuration, state and pods stay
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl disable --now daemonlet 2>/dev/null || true; fi
	rm -f $(DESTDIR)$(PREFIX)/bin/daemonlet $(DESTDIR)$(UNITDIR)/daemonlet.service
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/daemonlet $(DESTDIR)$(PREFIX)/share/man/man1/daemonlet.1 $(DESTDIR)$(PREFIX)/share/man/man1/daemonlet-*.1
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/daemonlet $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_daemonlet
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/daemonlet.fish
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "$(SYSCONFDIR)/daemonlet and /var/lib/daemonlet stay, and so do pods that run: remove manifests first to end them."

clean: ## everything that was built
	$(CARGO) clean
