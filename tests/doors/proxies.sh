#!/usr/bin/env bash
# Makes sure that the proxies are there that the tests of the doors start: nginx and HAProxy of the distribution.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

missing() {
	command -v nginx >/dev/null && command -v haproxy >/dev/null && return 1
	return 0
}

missing || exit 0
# several tests may ask at once
exec 9>"${TMPDIR:-/tmp}/ampora-proxies.lock"
if command -v flock >/dev/null; then flock 9; fi
missing || exit 0
if ! command -v apt-get >/dev/null; then
	echo "nginx and haproxy are needed by tests/doors: install them" >&2
	exit 1
fi
echo "nginx or haproxy is missing; both are installed now, which needs the rights of root" >&2
apt-get update -qq
# in run level 1 no service is started
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx haproxy >/dev/null
