#!/usr/bin/env bash
# Builds the stock opampsupervisor and a small stock collector from the Go module proxy, at the versions that the go.mod
# and go.sum files beside this script pin, and prints the directory that holds them. Does nothing when they are
# current. `build.sh --update` takes versions from go.mod and builder.yaml anew and writes the sums that belong to them.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly GO_MINOR_MIN=25
here="$PWD/tests/interop"
case "${CARGO_TARGET_DIR:-target}" in
/*) cache="${CARGO_TARGET_DIR:-target}/interop" ;;
*) cache="$PWD/${CARGO_TARGET_DIR:-target}/interop" ;;
esac
bin="$cache/bin"

say() { echo "interop: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# Everything that decides what the binaries are.
inputs() {
	cat "$here/build.sh" "$here"/{supervisor,builder,collector}/go.{mod,sum} "$here"/collector/{builder.yaml,otelcol-quiet.sh}
	uname -sm
}

need_go() {
	local version minor
	command -v go >/dev/null ||
		die "Go 1.$GO_MINOR_MIN or newer is needed to build real clients: https://go.dev/dl"
	version="$(GOTOOLCHAIN=local go env GOVERSION)"
	minor="${version#go1.}"
	minor="${minor%%[!0-9]*}"
	[ "${minor:-0}" -ge "$GO_MINOR_MIN" ] ||
		die "Go 1.$GO_MINOR_MIN or newer is needed to build real clients, $version is installed: https://go.dev/dl"
}

# compile OUTPUT PACKAGE, in the module of the working directory
compile() {
	nice go build -mod="$mode" -trimpath -ldflags="-s -w" -o "$bin/$1.new" "$2"
	mv "$bin/$1.new" "$bin/$1"
}

supervisor() {
	cd "$here/supervisor"
	compile opampsupervisor github.com/open-telemetry/opentelemetry-collector-contrib/cmd/opampsupervisor
}

# The builder only writes the main package: the modules that it would choose are replaced by the pinned ones.
collector() {
	local pinned="$here/collector"
	cd "$here/builder"
	compile builder go.opentelemetry.io/collector/cmd/builder
	rm -rf "$cache/collector"
	cd "$cache"
	"$bin/builder" --config "$pinned/builder.yaml" --skip-get-modules --skip-compilation >"$cache/builder.log" 2>&1 ||
		die "the collector builder failed: $cache/builder.log"
	cd "$cache/collector"
	if [ "$mode" = readonly ]; then
		local module version
		while read -r module version; do
			grep -qF "$module $version" "$pinned/go.mod" ||
				die "builder.yaml wants $module $version and collector/go.mod has another: run build.sh --update"
		done < <(sed -n 's/^ *- gomod: *//p' "$pinned/builder.yaml")
		cp "$pinned"/go.{mod,sum} .
	fi
	compile otelcol .
	install -m 755 "$pinned/otelcol-quiet.sh" "$bin/otelcol-quiet"
	[ "$mode" = readonly ] || cp go.{mod,sum} "$pinned"
}

main() {
	mode="readonly"
	case "${1:-}" in
	"") ;;
	--update) mode=mod ;;
	*) die "usage: build.sh [--update]" ;;
	esac
	mkdir -p "$bin"
	# tests may ask for the binaries while they are being built
	exec 9>"$cache/lock"
	if command -v flock >/dev/null; then flock 9; fi

	local stamp="$cache/stamp" wanted
	wanted="$(inputs | sha256sum)"
	if [ "$mode" = mod ] || [ ! -x "$bin/opampsupervisor" ] || [ ! -x "$bin/otelcol" ] ||
		[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
		need_go
		rm -f "$stamp"
		# what is built must not depend on the settings of who builds it
		export GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0 GOTOOLCHAIN=local
		say "building opampsupervisor and collector into $bin (some minutes the first time)"
		(supervisor)
		(collector)
		inputs | sha256sum >"$stamp"
		say "built in $SECONDS s"
	fi
	echo "$bin"
}

main "$@"
