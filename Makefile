# One gate, two verbs: `verify` reads, `fix` edits. `test` installs what the tests need and runs all of them.
.DEFAULT_GOAL := verify
.PHONY: verify fmt clippy doc tidy policy lock fix test interop run demo

TARGET := $(or $(CARGO_TARGET_DIR),target)
DENY_VERSION := 0.20.2
DENY := $(TARGET)/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

verify: lock fmt clippy doc tidy policy

fmt:
	cargo fmt --all --check

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

fix:
	cargo fmt --all
	AMPORA_REWRITE=1 cargo test --test tidy generated
	AMPORA_REWRITE=1 cargo test --test conformance

test: tests/interop/build.sh
	tests/interop/build.sh
	cargo test --workspace --locked

interop: tests/interop/build.sh
	tests/interop/build.sh
	cargo test --locked --test interop -- --test-threads 4

run:
	cargo run --locked -- serve

demo: deploy/demo/run.sh
	deploy/demo/run.sh
