#!/usr/bin/env bash
# The main job, end to end, on this machine: a stock opampsupervisor with a stock collector connects to `ampora serve`,
# is given a configuration through its group, applies it, and is restarted by command. Each step prints what is typed.
# Nothing is left running. When a step fails, the script says where the logs are.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly PATIENCE_SECONDS=60
target="${CARGO_TARGET_DIR:-target}"
case "$target" in /*) ;; *) target="$PWD/$target" ;; esac
dir=""
server=""
supervisor=""
step="start"
number=0

# --- what is printed ---

step() {
	step="$1"
	number=$((number + 1))
	printf '\n%s. %s\n' "$number" "$step"
}

note() { printf '   %s\n' "$*"; }

# show COMMAND…: prints a command as a person types it, runs it, and indents what it says
show() {
	printf '\n   $'
	printf ' %s' "$@" | sed 's/ \*/ '"'*'"'/'
	printf '\n'
	"$@" 2>&1 | sed 's/^/   /'
}

# --- processes ---

# launch NAME COMMAND…: in a session of its own, with SIGINT as in a terminal; leaves the process id in $launched
launch() {
	local name="$1"
	shift
	(cd "$dir" && exec setsid setpriv --pdeathsig INT env --default-signal=INT "$@") \
		>"$dir/$name.out" 2>"$dir/$name.log" &
	launched=$!
}

is_running() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# end PROCESS SIGNAL: asks it to stop, and kills its whole session when it does not
end() {
	is_running "$1" || return 0
	kill -s "$2" "$1" 2>/dev/null || true
	local tries=0
	while is_running "$1" && [ "$tries" -lt 100 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	kill -s KILL -- "-$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

finish() {
	local code=$?
	trap - EXIT INT TERM
	end "$supervisor" INT
	end "$server" TERM
	if [ "$code" -ne 0 ]; then
		printf '\nThe demo failed at step %s (%s).\n' "$number" "$step" >&2
		[ -z "$dir" ] || printf 'Logs and data: %s\n' "$dir" >&2
	elif [ -n "$dir" ]; then
		rm -rf "$dir"
	fi
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# until_true WHAT COMMAND…: looks until the command succeeds
until_true() {
	local what="$1" began=$SECONDS
	shift
	until "$@" >/dev/null 2>&1; do
		is_running "$server" || {
			echo "The server has stopped." >&2
			return 1
		}
		if [ $((SECONDS - began)) -ge "$PATIENCE_SECONDS" ]; then
			echo "Waited $PATIENCE_SECONDS s in vain: $what." >&2
			return 1
		fi
		sleep 0.2
	done
}

# --- what is looked at ---

# says TEXT COMMAND…: whether the answer of a command holds a text, as JSON without blanks
says() {
	local text="$1"
	shift
	"$@" --output json | tr -d ' \n' | grep -qF -- "$text"
}

# --- the demo ---

step "Build the server, the stock supervisor and a stock collector"
for tool in cargo setsid setpriv; do
	command -v "$tool" >/dev/null || {
		echo "$tool is needed: cargo comes with https://rustup.rs, the others with util-linux" >&2
		exit 1
	}
done
note "the first time this takes some minutes"
cargo build --locked --bin ampora
clients="$(tests/interop/build.sh supervisor collector)"
PATH="$target/debug:$PATH"

mkdir -p "$target"
dir="$(mktemp -d "$target/demo-XXXXXX")"

step "Start the server"
cat >"$dir/ampora.yaml" <<'YAML'
node: {data_dir: data}
opamp: {listen: "127.0.0.1:0"} # any free port, so that the demo meets nothing that runs here
admin: {listen: "127.0.0.1:0"}
YAML
# the server and every command below read the same file
export AMPORA_CONFIG="$dir/ampora.yaml"
unset AMPORA_URL AMPORA_TOKEN
note "$ ampora serve"
launch server ampora serve
server="$launched"
until_true "the server is ready" test -s "$dir/data/node.json"
sed 's/^/   /' "$dir/server.out"
opamp="$(sed -n 's/.*"opamp_address": *"\([^"]*\)".*/\1/p' "$dir/data/node.json")"

step "Start a stock supervisor, which brings its collector"
cat >"$dir/supervisor.yaml" <<YAML
server: {endpoint: "ws://$opamp/v1/opamp"}
capabilities:
  accepts_remote_config: true
  reports_remote_config: true
  accepts_restart_command: true
  reports_available_components: true
agent:
  executable: $clients/otelcol-quiet
  config_apply_timeout: 3s
  bootstrap_timeout: 30s
  description: {non_identifying_attributes: {env: demo}}
storage: {directory: ./supervisor-store}
telemetry: {logs: {level: debug, output_paths: [stdout]}}
YAML
note "$ opampsupervisor --config supervisor.yaml"
launch supervisor "$clients/opampsupervisor" --config supervisor.yaml
supervisor="$launched"
until_true "the agent is connected" says '"state":"connected"' ampora agents list
until_true "the agent is healthy" says '"healthy":true' ampora agents list
show ampora agents list
uid="$(ampora agents list --output name)"

step "Keep a configuration"
cat >"$dir/edge.yaml" <<'YAML'
receivers:
  otlp: {protocols: {http: {endpoint: "127.0.0.1:0"}}}
exporters:
  debug: {}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
YAML
cd "$dir"
show cat edge.yaml
show ampora configs put edge edge.yaml

step "Give it to everybody"
show ampora groups put everyone --selector '*' --config edge

step "The agent applies it"
until_true "the agent has applied its configuration" says '"status":"applied"' ampora agents show "$uid"
until_true "the agent runs what it should" says '"drifted":false' ampora agents show "$uid"
until_true "the agent is healthy" says '"healthy":true' ampora agents show "$uid"
show ampora agents show "$uid"
until_true "the agent tells what it runs" says 'otlp' ampora agents show "$uid" --effective-config
show ampora agents show "$uid" --effective-config

step "Restart the agent"
show ampora agents restart "$uid"
says '"succeeded":1' ampora dispatch show "$(ampora dispatch list --output name)"
until_true "the agent is healthy" says '"healthy":true' ampora agents show "$uid"

step "Stop everything"
end "$supervisor" INT
until_true "the agent has said goodbye" says '"state":"disconnected"' ampora agents list
show ampora agents list
end "$server" TERM

printf '\nThe demo passed.\n'
