# Starts and queries the two servers of tests/demo.sh: PostgreSQL and the simulator. Source it after setup.sh. Both servers
# stop when the script exits for any reason; nothing else is stopped.

folder='' port='' simulator_pid='' simulator_url=''

terminal=no width=100
if [ -t 1 ]; then
    terminal=yes
    width=$(tput cols || say 80)
fi

clean_up() {
    local status=$?
    trap - EXIT
    if [ -n "$folder" ]; then
        [ "$status" -eq 0 ] || [ ! -s "$folder/log" ] || { say "The end of the server's log:"; tail -n 30 "$folder/log"; }
        cd /
        [ ! -e "$folder/data/postmaster.pid" ] || as_server "$GUESTLY_PG_BIN/pg_ctl" stop -s -m immediate -D "$folder/data" || true
        as_server rm -rf "$folder"
    fi
    if [ -n "$simulator_pid" ]; then
        kill "$simulator_pid" 2>/dev/null || true
        wait "$simulator_pid" 2>/dev/null || true
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

sql() { psql -X -q -v ON_ERROR_STOP=1 -h "$folder" -p "$port" -U postgres -d postgres "$@"; }

# Prints the values of a query's only column, one per line.
ask() { sql -At -c "$1"; }

# Prints a query's result as a table that fits the terminal, so that it can be redrawn in place.
as_table() {
    sql -P footer=off -P border=2 -P format=wrapped -P "columns=$width" -c "$1"
}

# of_json <json> <path>: extracts one value. PostgreSQL parses the JSON, so no other tool is needed.
of_json() { sql -At -v json="$1" -v path="{$2}" -f - <<<"SELECT :'json'::jsonb #>> :'path'::text[]"; }

# simulator <method> <path> [json]: calls the simulator's admin API, which the real Guestly does not have.
simulator() {
    curl -sS --fail-with-body -X "$1" -H 'Content-Type: application/json' ${3:+--data "$3"} "$simulator_url/__sim/$2" \
        || give_up "the simulator rejected $1 $2"
}

simulator_is_ready() {
    simulator_url=$(sed -n 's/^listening on //p' "$1")
    [ -n "$simulator_url" ] || { kill -0 "$simulator_pid" 2>/dev/null || give_up "the simulator did not start: $(cat "$1")"; return 1; }
}

start_simulator() {
    local output
    output=$(mktemp)
    "$CARGO_TARGET_DIR/release/guestly-simulator" >"$output" 2>&1 </dev/null &
    simulator_pid=$!
    poll "the simulator" simulator_is_ready "$output"
    rm -f "$output"
    # Guestly's delays are shortened to a fiftieth, so that the demo does not take minutes.
    simulator POST knobs '{"lag_scale": 0.02}' >/dev/null
}

free_port() {
    local candidate
    for candidate in $(seq 54320 54420); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    give_up "no free port between 54320 and 54420"
}

start_server() {
    folder=$(cd / && as_server mktemp -d "${TMPDIR:-/tmp}/guestly-demo.XXXXXX")
    port=$(free_port)
    # The server's account may not have access to the current directory.
    cd /
    as_server "$GUESTLY_PG_BIN/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
    as_server tee -a "$folder/data/postgresql.conf" >/dev/null <<CONF
shared_preload_libraries = 'guestly_sync'
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$folder'
CONF
    # Starts with an empty environment: the caller's may contain settings of the extension.
    as_server env -i LC_ALL=C.UTF-8 PATH="$PATH" \
        "$GUESTLY_PG_BIN/pg_ctl" start -s -w -t 60 -D "$folder/data" -l "$folder/log" </dev/null
    cd "$ROOT"
}
