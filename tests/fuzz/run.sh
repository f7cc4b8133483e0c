#!/usr/bin/env bash
# Fuzzes each target for so many seconds from the corpus that is kept, and fails on a crash, a hang or too much memory.
# `run.sh SECONDS [TARGET…]`; `run.sh keep [TARGET…]` makes the kept corpus small again, with what was found added.
#
# What is found goes to target/fuzz-found/TARGET, the input of a failure to target/fuzz-failed/.
set -euo pipefail
cd "$(dirname "$0")/../.."

what="$1"
shift
targets="${*:-frame session selector config entry}"
target_dir="${CARGO_TARGET_DIR:-target}"
export found="$target_dir/fuzz-found" failed="$target_dir/fuzz-failed" what
export built="$target_dir/fuzz/x86_64-unknown-linux-gnu/release"

# Several times what the largest allowed input can cost; the address sanitizer keeps freed memory for a while.
export limits="-rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10"

cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml > /dev/null
# The sanitizer and the coverage are not stable options; the compiler is the pinned one all the same.
RUSTC_BOOTSTRAP=1 "$FUZZER" build --fuzz-dir tests/fuzz --target-dir "$target_dir/fuzz"

# Recorded messages of real agents start the target that reads such.
seeds() {
	if [ "$1" = frame ]; then echo proto/tests/vectors; fi
}

# One input for each edge of the program, and all that people gave a name.
keep() {
	local corpus="tests/fuzz/corpus/$1" all
	all="$(mktemp -d)"
	# shellcheck disable=SC2046,SC2086
	"$built/$1" $limits -set_cover_merge=1 -use_counters=0 "$all" $(seeds "$1") "$corpus" "$found/$1" 2> /dev/null
	find "$corpus" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
	cp "$all"/* "$corpus"
	rm -r "$all"
	echo "$1: $(find "$corpus" -type f | wc -l) inputs, $(cat "$corpus"/* | wc -c) bytes"
}

fuzz() {
	local log="$failed/$1.log"
	# shellcheck disable=SC2046,SC2086
	if ! "$built/$1" $limits -max_total_time="$what" -print_final_stats=1 -artifact_prefix="$failed/$1-" \
		"$found/$1" "tests/fuzz/corpus/$1" $(seeds "$1") > "$log" 2>&1; then
		grep -A 4 panicked "$log" || true
		grep -v '^#' "$log" | tail -n 40
		echo "$1: failed; the input is in $failed, the whole log is $log" >&2
		return 1
	fi
	echo "$1: $(awk '/number_of_executed_units/ { print $2 }' "$log") inputs in $what s"
}
export -f fuzz seeds

for target in $targets; do
	mkdir -p "$found/$target" "$failed"
done
if [ "$what" = keep ]; then
	for target in $targets; do
		keep "$target"
	done
else
	# shellcheck disable=SC2046,SC2086
	printf '%s\n' $targets | xargs -P 2 -I {} bash -c 'fuzz {}'
fi
