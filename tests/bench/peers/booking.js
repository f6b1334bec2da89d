// One booking's work, the same for every queue: read the row, create the reservation, write the five columns. Used by
// graphile-worker.js and pg-boss.js, which tests/bench/src/peers.rs starts with the names of the server and of
// the API in the environment. Any error ends the process: lost or repeated work must not look like speed.

import pg from 'pg'
import { Pool } from 'undici'

// Calls in flight, as guestly_sync.concurrency.
export const concurrency = Number(process.env.CONCURRENCY)

// A connection for each job and some for the queue itself, so that none waits for another; over the socket, as the product
// is inside the server. Statements have names: they are planned once a connection.
export const database = new pg.Pool({ max: concurrency + 5, idleTimeoutMillis: 0 })
database.on('error', giveUp)
database.on('connect', client => client.on('error', giveUp))

// undici is the fastest client of Node. Connections are kept open, one for each call in flight.
const api = new Pool(process.env.API_URL, { connections: concurrency, keepAliveTimeout: 600_000 })

const READ = `
  SELECT b.id::text, b.booking_reference, l.listing_id, b.check_in_date::text, b.check_out_date::text, b.status, b.adults,
         b.children, b.infants, b.has_pet, b.guest_first_name, b.guest_last_name, b.guest_email, b.guest_phone,
         b.total::float8
  FROM bookings b JOIN properties p ON p.id = b.property_id JOIN guestly.listings l ON l.property = p.slug
  WHERE b.id = $1`

const WRITE = `
  UPDATE bookings SET guestly_sync_status = 'synced', guestly_reservation_id = $2, guestly_sync_error = NULL,
         guestly_sync_attempts = 1, guestly_synced_at = clock_timestamp()
  WHERE id = $1`

let bearer

// Once for all jobs: the runs are shorter than a token lives.
export async function fetchToken () {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    scope: 'open-api',
    client_id: process.env.CLIENT_ID,
    client_secret: process.env.CLIENT_SECRET
  })
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
  const answer = await call('/oauth2/token', headers, form.toString())
  bearer = `Bearer ${answer.access_token}`
}

export async function sync (id) {
  try {
    const found = await database.query({ name: 'read', text: READ, values: [id] })
    if (found.rows.length !== 1) throw new Error(`${found.rows.length} rows of booking ${id}`)
    const headers = { authorization: bearer, 'content-type': 'application/json', accept: 'application/json' }
    const answer = await call('/v1/reservations-v3', headers, JSON.stringify(reservation(found.rows[0])))
    await database.query({ name: 'write', text: WRITE, values: [id, answer.reservationId] })
  } catch (error) {
    giveUp(error)
  }
}

// The same fields as the product sends.
function reservation (b) {
  return {
    listingId: b.listing_id,
    checkInDateLocalized: b.check_in_date,
    checkOutDateLocalized: b.check_out_date,
    source: 'website',
    status: b.status,
    guestsCount: b.adults + b.children,
    numberOfGuests: {
      numberOfAdults: b.adults,
      numberOfChildren: b.children,
      numberOfInfants: b.infants,
      numberOfPets: b.has_pet ? 1 : 0
    },
    guest: {
      firstName: b.guest_first_name,
      lastName: b.guest_last_name,
      email: b.guest_email,
      phones: [b.guest_phone.replace(/[^+\d]/g, '')]
    },
    accommodationFare: b.total,
    cleaningFee: 0,
    applyPromotions: false,
    ignoreCalendar: false,
    ignoreTerms: false,
    ignoreBlocks: false,
    confirmationCode: b.booking_reference,
    origin: 'guestly_sync',
    originId: b.id
  }
}

async function call (path, headers, body) {
  const answer = await api.request({ path, method: 'POST', headers, body })
  const text = await answer.body.text()
  if (answer.statusCode >= 300) throw new Error(`${path} was answered with ${answer.statusCode}: ${text}`)
  return JSON.parse(text)
}

export function giveUp (error) {
  console.error(error)
  process.exit(1)
}

// Reports that it is ready, and runs until the benchmark closes its input.
export function ready () {
  process.stdin.on('end', () => process.exit(0)).resume()
  console.log('ready')
}
