#!/usr/bin/env bash
# Measures how fast the extension is and what it costs, beside what limits it on the same machine in the same run, and
# writes the table and a chart of each figure to tests/bench/. Does all the set-up on a fresh Debian 12 machine, as root
# or with sudo. Takes about half an hour.
#
#   tests/bench.sh                  everything
#   tests/bench.sh --smoke          small sizes, in less than a minute: that all is synced and no rule of the API is broken
#   tests/bench.sh --only drain     one figure (again: several); the others stay in the table as they were
#   tests/bench.sh --peers          also other queues at the same work (needs node 20 and npm)
#   tests/bench.sh --rounds 5       more rounds than three
set -euo pipefail

# shellcheck source=tests/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

arguments=()
smoke=no
for argument in "$@"; do
    case $argument in
        --smoke) smoke=yes ;;
        --peers)
            command -v npm >/dev/null || give_up "--peers needs node and npm"
            peers=$(mktemp -d)
            trap 'rm -rf "$peers"' EXIT
            cp "$ROOT"/tests/bench/peers/*.js* "$peers"
            arguments+=(--peers "$peers")
            continue
            ;;
    esac
    arguments+=("$argument")
done
# What the smoke run finds is no figure.
[ "$smoke" = yes ] || arguments+=(--write "$ROOT")

set_up
install_extension
cargo build --locked --release --package guestly-simulator --package guestly-scenarios --bin guestly-simulator --bin bench
[ -z "${peers:-}" ] || (cd "$peers" && npm install --silent --no-audit --no-fund </dev/null)
"$CARGO_TARGET_DIR/release/bench" ${arguments[@]+"${arguments[@]}"} </dev/null
