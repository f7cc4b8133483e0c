# One gate, two verbs: `verify` reads, `fix` edits. `test` installs what the tests need and runs all of them.
.DEFAULT_GOAL := verify
.PHONY: verify fmt clippy doc tidy policy lock fix test interop fuzz chaos chaos-ci simulator field trouble hotpath hotpath-accept run demo

TARGET := $(or $(CARGO_TARGET_DIR),target)
DENY_VERSION := 0.20.2
DENY := $(TARGET)/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
FUZZ_VERSION := 0.13.2
FUZZER := $(TARGET)/tools/cargo-fuzz-$(FUZZ_VERSION)/bin/cargo-fuzz
FUZZ_SECONDS ?= 30

verify: lock fmt clippy doc tidy policy

fmt:
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

tidy:
	cargo test --locked --test tidy

# Advisories need a database that not every place can reach; bans, licences and sources need nothing.
policy: $(DENY)
	$(DENY) check bans licenses sources

# Built once per checkout, beside everything else that is built.
$(DENY):
	cargo install cargo-deny --version $(DENY_VERSION) --locked --root $(TARGET)/tools/cargo-deny-$(DENY_VERSION)

# The lock file says what the manifests say.
lock:
	cargo metadata --locked --format-version 1 > /dev/null
	cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml > /dev/null

fix:
	cargo fmt --all
	cargo fmt --manifest-path tests/fuzz/Cargo.toml
	AMPORA_REWRITE=1 cargo test --test tidy generated
	AMPORA_REWRITE=1 cargo test --test conformance

test: tests/interop/build.sh tests/doors/proxies.sh tests/postgres/servers.sh
	tests/interop/build.sh
	tests/doors/proxies.sh
	tests/postgres/servers.sh
	cargo test --workspace --locked

interop: tests/interop/build.sh
	tests/interop/build.sh
	cargo test --locked --test interop -- --test-threads 4

# Each target from the corpus that is kept; FUZZ_SECONDS=600 for a long look.
fuzz: $(FUZZER)
	FUZZER=$(FUZZER) tests/fuzz/run.sh $(FUZZ_SECONDS)

$(FUZZER):
	cargo install cargo-fuzz --version $(FUZZ_VERSION) --locked --root $(TARGET)/tools/cargo-fuzz-$(FUZZ_VERSION)

# Simulated clusters: SEEDS of them from FIRST on, and every planted bug; or one, SEED, with its trace.
SEEDS ?= 200
FIRST ?= 1
SIMULATOR := $(TARGET)/sim/sim/ampora-chaos

# A runtime that can be seeded is a build of its own of everything.
simulator:
	CARGO_TARGET_DIR=$(TARGET)/sim RUSTFLAGS="--cfg tokio_unstable" \
		cargo build --locked --profile sim -p ampora-chaos --bin ampora-chaos --features planted

chaos: simulator
ifdef SEED
	$(SIMULATOR) run $(SEED)
else
	$(SIMULATOR) sweep --seeds $(SEEDS) --first $(FIRST) --planted
endif

# Some minutes of it, and that a seed repeats to the byte.
CI_SEEDS ?= 60
chaos-ci: simulator
	$(SIMULATOR) same 1 2 3 4 5 6 7 8
	$(SIMULATOR) sweep --seeds $(CI_SEEDS) --first 1 --planted

# Real nodes in network namespaces, ten thousand agents, and a network that is cut: some minutes, as root, on Linux with
# iproute2 and nftables. Ends with a table; docs/capacity.md keeps one.
field:
	cargo build --locked --release -p ampora -p ampora-chaos --bin ampora --bin field
	$(TARGET)/release/field $(FIELD)

# What tests/history does to Postgres, while ten thousand agents report, one trouble after the other.
TROUBLE_AGENTS ?= 10000
trouble: tests/postgres/servers.sh
	tests/postgres/servers.sh
	TROUBLE_AGENTS=$(TROUBLE_AGENTS) cargo test --locked --release --test history trouble -- --test-threads 1

# Instructions of the hot path against the numbers that are kept.
hotpath:
	benches/hotpath/count.sh

hotpath-accept:
	benches/hotpath/count.sh accept

run:
	cargo run --locked -- serve

demo: deploy/demo/run.sh
	deploy/demo/run.sh
