#!/usr/bin/env bash
# Measures what the extension costs and how fast it is, next to a baseline on the same machine in the same run, and writes
# the table and the charts to tests/bench/; tests/bench/README.md explains them. Does all the set-up on a fresh Debian 12
# machine, as root or with sudo. Takes about half an hour.
#
#   tests/bench.sh                  everything
#   tests/bench.sh --smoke          small sizes, in less than a minute: all is synced, no rule of the API is broken
#   tests/bench.sh --only drain     one benchmark (repeat for several); the rows of the others stay in the table
#   tests/bench.sh --peers          other queues at the same work too (needs node 20 and npm)
#   tests/bench.sh --rounds 5       more rounds than three
#   tests/bench.sh --compare BIN_A BIN_B
#                                   two builds, each installed in a PostgreSQL 15 whose bin folder is given, in turns;
#                                   writes nothing, installs nothing; goes with --smoke, --only and --rounds
set -euo pipefail

# shellcheck source=tests/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"

arguments=()
writes=yes
installs=yes
while [ "$#" -gt 0 ]; do
    case $1 in
        --peers)
            command -v npm >/dev/null || give_up "--peers needs node and npm"
            peers=$(mktemp -d)
            trap 'rm -rf "$peers"' EXIT
            cp "$ROOT"/tests/bench/peers/*.js* "$peers"
            arguments+=(--peers "$peers")
            ;;
        --compare)
            [ "$#" -ge 3 ] || give_up "--compare needs two bin folders of PostgreSQL"
            arguments+=(--compare)
            for folder in "$2" "$3"; do
                [ -x "$folder/postgres" ] || give_up "no PostgreSQL in $folder"
                arguments+=("$(cd "$folder" && pwd)")
            done
            writes=no installs=no
            shift 2
            ;;
        --smoke)
            # Its figures mean nothing.
            writes=no
            arguments+=("$1")
            ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
[ "$writes" = no ] || arguments+=(--write "$ROOT/tests/bench")

if [ "$installs" = yes ]; then
    set_up
    install_extension
else
    set_up_rust
fi
cargo build --locked --release --package guestly-simulator --package guestly-bench
[ -z "${peers:-}" ] || (cd "$peers" && npm install --silent --no-audit --no-fund </dev/null)
"$CARGO_TARGET_DIR/release/guestly-bench" ${arguments[@]+"${arguments[@]}"} </dev/null
