#!/usr/bin/env bash
# Shows the extension at work: a throw-away server, a simulator in Guestly's place, the host's tables, and bookings
# that are paid one by one and in a burst. Does all the set-up on a fresh Debian 12 machine, as root or with sudo.
# At a terminal it waits for Enter before it clears everything away; without one it ends by itself, with status 0
# only if every booking came out as it should.
set -euo pipefail

# shellcheck source=tests/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/setup.sh"
# shellcheck source=tests/lib/demo-servers.sh
. "$ROOT/tests/lib/demo-servers.sh"

readonly PATIENCE=60
readonly SINGLE=5 BURST=30
# Every flat of the host but the last has a listing in the simulator's account.
readonly LISTINGS="('canal-loft', '64b1f0aa11bb22cc33dd4401'), ('garden-flat', '64b1f0aa11bb22cc33dd4402'), ('roof-studio', '64b1f0aa11bb22cc33dd4403')"
readonly UNSETTLED="payment_status = 'completed' AND guestly_sync_status = 'pending'"

failures=0

heading() { printf '\n== %s ==\n\n' "$*"; }

# poll <what> <command …>: repeats a command until it succeeds, or gives up after PATIENCE seconds.
poll() {
    local what=$1 deadline=$((SECONDS + PATIENCE))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || give_up "waited $PATIENCE s for $what"
        sleep 0.1
    done
}

# check <what should be so> <found> <wanted>
check() {
    if [ "$2" = "$3" ]; then
        say "  ok      $1: $2"
    else
        say "  WRONG   $1: $2, should be $3"
        failures=$((failures + 1))
    fi
}

load_host() {
    heading "The site's database, and the extension"
    sql -f "$ROOT/tests/host/host.sql" >/dev/null
    sql -f - <<SQL
CREATE EXTENSION guestly_sync;
INSERT INTO guestly.listings (property, listing_id) VALUES $LISTINGS;
INSERT INTO properties (slug, name, max_guests, base_price, is_active) VALUES ('attic-room', 'Attic Room', 4, 80, false);
ALTER SYSTEM SET guestly_sync.base_url = '$simulator_url/v1';
ALTER SYSTEM SET guestly_sync.token_url = '$simulator_url/oauth2/token';
ALTER SYSTEM SET guestly_sync.client_id = 'sim-client';
ALTER SYSTEM SET guestly_sync.client_secret = 'sim-secret';
ALTER SYSTEM SET guestly_sync.settle = '3s';
ALTER SYSTEM SET guestly_sync.backoff_base = '200ms';
ALTER SYSTEM SET guestly_sync.enabled = on;
SELECT pg_reload_conf() \g /dev/null
SELECT count(*) FROM sample.make_bookings($SINGLE + $BURST + 3) \g /dev/null
SQL
    say "Tables loaded, extension created and enabled, $((SINGLE + BURST + 3)) unpaid bookings made."
}

# What the site's payment webhook does, under the role it has.
pay() {
    ask "SET ROLE service_role; SELECT sample.payment_succeeded('pi_sample_' || n) FROM generate_series($1, $2) n" >/dev/null
}

bookings_between() { say "booking_reference BETWEEN 'FLAT-$(printf %06d "$1")' AND 'FLAT-$(printf %06d "$2")'"; }

settled() { [ "$(ask "SELECT count(*) FROM bookings WHERE $1 AND $UNSETTLED")" -eq 0 ]; }

# watch <condition> <query>: shows a table again when it has changed, until no paid booking waits any more. At a
# terminal the new table takes the place of the old one; elsewhere there is one a second at most.
watch() {
    local table shown='' lines=0 done second='' deadline=$((SECONDS + PATIENCE))
    while :; do
        done=no
        ! settled "$1" || done=yes
        table=$(as_table "$2")
        if [ "$table" != "$shown" ] && [ "$terminal$done$second" != "nono$SECONDS" ]; then
            [ "$terminal" = no ] || [ "$lines" -eq 0 ] || printf '\033[%dA\033[J' "$lines"
            say "$table"
            shown=$table
            second=$SECONDS
            lines=$(wc -l <<<"$table")
        fi
        [ "$done" = no ] || return 0
        [ "$SECONDS" -lt "$deadline" ] || give_up "bookings still wait after $PATIENCE s"
        sleep 0.1
    done
}

rows_where() {
    say "SELECT booking_reference AS booking, payment_status AS payment, CASE WHEN payment_status = 'completed' THEN
        guestly_sync_status END AS guestly, guestly_sync_attempts AS tries, coalesce(guestly_reservation_id,
        guestly_sync_error, '') AS \"reservation or reason\" FROM bookings WHERE $1 ORDER BY booking_reference"
}

one_by_one() {
    local number
    heading "Bookings paid one by one"
    for number in $(seq 1 "$SINGLE"); do
        pay "$number" "$number"
        poll "booking $number" settled "$(bookings_between "$number" "$number")"
        ask "SELECT booking_reference || ': paid, and ' || guestly_sync_status || coalesce(' ' || round(extract(epoch
             FROM guestly_synced_at - confirmed_at) * 1000) || ' ms later', '') FROM bookings
             WHERE stripe_payment_intent_id = 'pi_sample_$number'"
    done
    say
    watch "$(bookings_between 1 "$SINGLE")" "$(rows_where "$(bookings_between 1 "$SINGLE")")"
}

burst() {
    local these
    these=$(bookings_between $((SINGLE + 1)) $((SINGLE + BURST)))
    heading "$BURST bookings paid in one statement"
    pay $((SINGLE + 1)) $((SINGLE + BURST))
    watch "$these" "SELECT p.slug AS flat, count(*) AS paid, count(*) FILTER (WHERE guestly_sync_status = 'pending')
        AS pending, count(*) FILTER (WHERE guestly_sync_status = 'synced') AS synced, count(*) FILTER (WHERE
        guestly_sync_status = 'failed') AS failed FROM bookings b JOIN properties p ON p.id = b.property_id
        WHERE $these GROUP BY p.slug ORDER BY p.slug"
}

not_smoothly() {
    local first=$((SINGLE + BURST + 1)) these
    these=$(bookings_between "$first" $((first + 2)))
    heading "Three that do not go smoothly"
    say "FLAT-$(printf %06d "$first"): its flat has no listing, so it will be refused."
    say "FLAT-$(printf %06d $((first + 1))): Guestly will answer 503 to the first try."
    say "FLAT-$(printf %06d $((first + 2))): Guestly will take the reservation, but its answer gets lost."
    say
    ask "UPDATE bookings SET property_id = (SELECT id FROM properties WHERE slug = 'attic-room')
         WHERE stripe_payment_intent_id = 'pi_sample_$first'" >/dev/null
    simulator POST faults "{\"match\": {\"operation\": \"create\", \"count\": 1, \"body_contains\":
        \"FLAT-$(printf %06d $((first + 1)))\"}, \"effect\": {\"kind\": \"status\", \"code\": 503}}" >/dev/null
    simulator POST faults "{\"match\": {\"operation\": \"create\", \"count\": 1, \"body_contains\":
        \"FLAT-$(printf %06d $((first + 2)))\"}, \"effect\": {\"kind\": \"drop_after_accept\"}}" >/dev/null
    pay "$first" $((first + 2))
    watch "$these" "$(rows_where "$these")"
    say
    say "The story of the one whose answer got lost, SELECT * FROM guestly_timeline('…'):"
    as_table "SELECT t.at::time(0) AS at, t.event, t.detail FROM bookings b, guestly_timeline(b.id) t
        WHERE b.stripe_payment_intent_id = 'pi_sample_$((first + 2))'"
}

count_rows() { ask "SELECT count(*) FROM bookings WHERE $1"; }

# Checks the results by the simulator's state, not only by what the extension reports.
check_results() {
    local metrics refused=$((SINGLE + BURST + 1)) good=$((SINGLE + BURST + 2))
    heading "What came out"
    metrics=$(simulator GET metrics)
    check "bookings paid" "$(count_rows "payment_status = 'completed'")" $((good + 1))
    check "synced, with a reservation and no error" \
        "$(count_rows "guestly_sync_status = 'synced' AND guestly_reservation_id <> '' AND guestly_sync_error IS NULL")" "$good"
    check "refused, because its flat has no listing" "$(ask "SELECT split_part(guestly_sync_error, ':', 1) FROM bookings
        WHERE stripe_payment_intent_id = 'pi_sample_$refused' AND guestly_sync_status = 'failed'")" unknown_listing
    check "tried twice, because of the 503" \
        "$(count_rows "guestly_sync_status = 'synced' AND guestly_sync_attempts > 1 AND stripe_payment_intent_id = 'pi_sample_$((refused + 1))'")" 1
    check "looked up and adopted, because of the lost answer" \
        "$(ask "SELECT count(DISTINCT booking_id) FROM guestly.attempts WHERE outcome = 'adopted'")" 1
    check "reservations in Guestly" "$(of_json "$metrics" reservations)" "$good"
    check "confirmation codes with more than one reservation" "$(of_json "$metrics" codes,active_more_than_once)" 0
    check "second creates without a look-up" "$(of_json "$metrics" creates_without_look_up)" 0
    check "calls refused for their rate" "$(of_json "$metrics" answered_429)" 0
    check "tokens fetched" "$(of_json "$metrics" tokens_issued)" 1
}

look_around() {
    heading "Look around"
    say "psql -h 127.0.0.1 -p $port -U postgres -d postgres"
    say "for example: SELECT * FROM guestly.status; SELECT * FROM guestly.attempts; SELECT * FROM guestly_doctor();"
    if [ -t 0 ] && [ "$terminal" = yes ]; then
        say "Enter clears everything away."
        read -r _ || true
    fi
}

set_up
say "Building and installing the extension; the first time takes some minutes."
install_extension >/dev/null
cargo build --locked --release --quiet --package guestly-simulator
start_simulator
start_server
load_host
one_by_one
burst
not_smoothly
check_results
look_around
say
if [ "$failures" -gt 0 ]; then
    say "FAILED: $failures of the checks above."
    exit 1
fi
say "Demo finished in $SECONDS s; everything came out right."
