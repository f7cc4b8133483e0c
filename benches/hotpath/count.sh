#!/usr/bin/env bash
# Counts the instructions of the hot path under callgrind and compares them with benches/hotpath.txt: unlike time, they
# are the same on a busy machine. `count.sh accept` writes what it counts instead.
set -euo pipefail
cd "$(dirname "$0")/../.."

within_percent=3
kept=benches/hotpath.txt
program="${CARGO_TARGET_DIR:-target}/dist/hotpath"

if ! command -v valgrind > /dev/null; then
	echo "valgrind is missing; it is installed now, which needs the rights of root" >&2
	apt-get update -qq
	apt-get install -y -qq valgrind > /dev/null
fi

# What is shipped is what is counted.
cargo build --locked --quiet --profile dist -p ampora-hotpath

instructions() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
		awk '$2 == "Collected" { found = $4 } END { if (!found) exit 1; print found }'
}

counted="$(mktemp)"
trap 'rm -f "$counted"' EXIT
for work in session apply; do
	run="$(instructions "$work" run)"
	prepare="$(instructions "$work" prepare)"
	echo "$work $((run - prepare))" >> "$counted"
done

if [ "${1:-}" = accept ]; then
	cp "$counted" "$kept"
	cat "$kept"
	exit
fi

awk -v within="$within_percent" '
	NR == FNR { kept[$1] = $2; next }
	{
		if (!kept[$1]) { printf "%s: no number is kept\n", $1; failed = 1; next }
		percent = ($2 / kept[$1] - 1) * 100
		printf "%-8s %d instructions, kept %d: %+.2f %%\n", $1, $2, kept[$1], percent
		if (percent > within || percent < -within) failed = 1
	}
	END {
		if (!failed) exit
		printf "The hot path changed by more than %d %%. If that is meant, run `make hotpath-accept`, commit ", within
		print "benches/hotpath.txt with the change, and say in the message what the instructions are spent on or saved by."
		exit 1
	}
' "$kept" "$counted"
