#!/bin/sh
# The collector beside this script without its own metrics: they want port 8888, which only one process has. Supervisors
# start it in place of the collector, because what they compose before they have a configuration cannot be told otherwise.
here="$(dirname "$0")"
case "${1:-}" in
--*) exec "$here/otelcol" "$@" --set=service.telemetry.metrics.level=none ;;
*) exec "$here/otelcol" "$@" ;;
esac
