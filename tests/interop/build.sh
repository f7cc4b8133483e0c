#!/usr/bin/env bash
# Builds the real clients of the interoperability tests, at the versions that the lock files beside this script pin, and
# prints the directory that holds one program for each: the stock opampsupervisor and a small stock collector, and our
# agents on the client libraries of Go, Node, Python and Java (clients/). A part that is current is left alone.
# `build.sh --update` takes versions from go.mod and builder.yaml anew and writes the sums that belong to them;
# `build.sh PART…` looks after these parts alone.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly GO_MINOR_MIN=25 NODE_MIN=20 PYTHON_MINOR_MIN=10 JAVA_MIN=17
readonly MAVEN_DEPENDENCY=org.apache.maven.plugins:maven-dependency-plugin:2.8
readonly PARTS=(supervisor collector opamp-go-0.22.0 opamp-go-0.23.0 opamp-node opamp-python opamp-java schemathesis)
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

# Everything that decides what a part becomes.
inputs() {
	cat "$here/build.sh"
	case "$1" in
	supervisor) cat "$here"/supervisor/go.{mod,sum} ;;
	collector) cat "$here"/{builder,collector}/go.{mod,sum} "$here"/collector/{builder.yaml,otelcol-quiet.sh} ;;
	opamp-go-*) cat "$here/clients/opamp-go/main.go" "$here/clients/opamp-go/v${1#opamp-go-}"/go.{mod,sum} ;;
	opamp-python | schemathesis)
		cat "$here/clients/$1"/*
		python3 --version
		;;
	*) cat "$here/clients/$1"/* ;;
	esac
	uname -sm
}

# need PROGRAM VERSION MINIMUM WHAT URL
need() {
	local version="${2%%[!0-9]*}"
	[ "${version:-0}" -ge "$3" ] || die "$4 or newer is needed to build real clients, ${1:-none} is installed: $5"
}

need_go() {
	local version
	version="$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true)"
	need "$version" "${version#go1.}" "$GO_MINOR_MIN" "Go 1.$GO_MINOR_MIN" https://go.dev/dl
	# what is built must not depend on the settings of who builds it
	export GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0 GOTOOLCHAIN=local
}

# compile OUTPUT PACKAGE, in the module of the working directory
compile() {
	nice go build -mod="$mode" -trimpath -ldflags="-s -w" -o "$bin/$1.new" "$2"
	mv "$bin/$1.new" "$bin/$1"
}

supervisor() {
	need_go
	cd "$here/supervisor"
	compile opampsupervisor github.com/open-telemetry/opentelemetry-collector-contrib/cmd/opampsupervisor
}

# The builder only writes the main package: the modules that it would choose are replaced by the pinned ones.
collector() {
	local pinned="$here/collector"
	need_go
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

# One main.go, compiled with each version in a module of its own.
opamp_go() {
	local pinned="$here/clients/opamp-go/v$1"
	need_go
	empty "opamp-go-$1"
	cp "$here/clients/opamp-go/main.go" "$pinned"/go.{mod,sum} .
	compile "opamp-go-$1" .
	[ "$mode" = readonly ] || cp go.{mod,sum} "$pinned"
}

opamp_node() {
	local version
	version="$(node --version 2>/dev/null || true)"
	need "$version" "${version#v}" "$NODE_MIN" "Node $NODE_MIN with npm" https://nodejs.org
	empty opamp-node
	cp "$here"/clients/opamp-node/* .
	nice npm ci --silent --no-audit --no-fund --ignore-scripts || die "npm ci failed in $PWD"
	starts opamp-node "exec node \"$PWD/main.js\" \"\$@\""
}

# python PART MINOR: makes its directory with an environment of what it pins
python() {
	local version
	version="$(python3 -c 'import ensurepip, sys, venv; print(sys.version_info.minor)' 2>/dev/null || true)"
	need "${version:+3.$version}" "$version" "$2" "Python 3.$2 with venv" https://www.python.org
	empty "$1"
	cp "$here/clients/$1"/* .
	python3 -m venv venv
	nice venv/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes \
		--requirement requirements.txt || die "pip failed in $PWD"
}

opamp_python() {
	python opamp-python "$PYTHON_MINOR_MIN"
	starts opamp-python "exec \"$PWD/venv/bin/python\" \"$PWD/main.py\" \"\$@\""
}

# schemathesis URL TOKEN [ARGUMENT…]
schemathesis() {
	# what 3.10 would need beside that is not pinned
	python schemathesis 11
	starts schemathesis "export TESTED_URL=\"\$1\" TESTED_TOKEN=\"\$2\" PYTHONPATH=\"$PWD\" SCHEMATHESIS_HOOKS=hooks; shift 2
exec \"$PWD/venv/bin/schemathesis\" --config-file \"$PWD/schemathesis.toml\" run \\
	\"\$TESTED_URL/api/v1/openapi.json\" \"\$@\""
}

opamp_java() {
	local version fetch
	version="$(javac -version 2>/dev/null || true)"
	need "$version" "${version#javac }" "$JAVA_MIN" "A JDK $JAVA_MIN" https://adoptium.net
	command -v mvn >/dev/null || die "Maven is needed to build real clients: https://maven.apache.org"
	empty opamp-java
	cp "$here"/clients/opamp-java/* .
	fetch=(nice mvn -B -q "$MAVEN_DEPENDENCY:copy-dependencies" "-DoutputDirectory=$PWD/jars")
	# the second time without asking anybody
	"${fetch[@]}" -o >maven.log 2>&1 || "${fetch[@]}" >maven.log 2>&1 || die "Maven failed: $PWD/maven.log"
	# Maven has no lock file, and picks what nobody pinned by itself
	(cd jars && sha256sum --strict --check --quiet ../jars.sha256) || die "the jars in $PWD/jars are not the pinned ones"
	nice javac -nowarn -d classes -cp "jars/*" Agent.java 2>javac.log || die "javac failed: $PWD/javac.log"
	# a small heap and a quick start: several run beside each other
	starts opamp-java "exec java -Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp \"$PWD/classes:$PWD/jars/*\" Agent \"\$@\""
}

# empty PART: makes its directory anew and goes there
empty() {
	rm -rf "${cache:?}/$1"
	mkdir -p "$cache/$1"
	cd "$cache/$1"
}

# starts NAME COMMAND: writes a program that becomes the command
starts() {
	printf '#!/bin/sh\n%s\n' "$2" >"$bin/$1.new"
	chmod 755 "$bin/$1.new"
	mv "$bin/$1.new" "$bin/$1"
}

# program PART: what it is started by
program() {
	case "$1" in
	supervisor) echo "$bin/opampsupervisor" ;;
	collector) echo "$bin/otelcol" ;;
	*) echo "$bin/$1" ;;
	esac
}

part() {
	local stamp="$cache/$1.stamp"
	[ "$mode" = readonly ] && [ -x "$(program "$1")" ] &&
		[ "$(cat "$stamp" 2>/dev/null)" = "$(inputs "$1" | sha256sum)" ] && return
	local begun=$SECONDS
	rm -f "$stamp"
	say "building $1 in $cache (minutes for the collector the first time)"
	case "$1" in
	supervisor) (supervisor) ;;
	collector) (collector) ;;
	opamp-go-*) (opamp_go "${1#opamp-go-}") ;;
	opamp-node) (opamp_node) ;;
	opamp-python) (opamp_python) ;;
	opamp-java) (opamp_java) ;;
	schemathesis) (schemathesis) ;;
	*) die "there is no part $1: ${PARTS[*]}" ;;
	esac
	inputs "$1" | sha256sum >"$stamp"
	say "built $1 in $((SECONDS - begun)) s"
}

main() {
	mode=readonly
	if [ "${1:-}" = --update ]; then
		mode=mod
		shift
	fi
	[ $# -gt 0 ] || set -- "${PARTS[@]}"
	mkdir -p "$bin"
	# tests may ask for the binaries while they are being built
	exec 9>"$cache/lock"
	if command -v flock >/dev/null; then flock 9; fi
	local name
	for name in "$@"; do part "$name"; done
	echo "$bin"
}

main "$@"
