# The gate has two verbs: `verify` reads, `fix` edits. `test` runs everything.
.PHONY: verify fix test

verify:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fix:
	cargo fmt --all

test:
	cargo test --workspace --locked
