// pg-boss at the work of booking.js. Started by tests/bench/src/peers.rs.

import PgBoss from 'pg-boss'
import { concurrency, database, fetchToken, giveUp, ready, sync } from './booking.js'

// It has no function for triggers; its manual says to insert into the table.
const TRIGGER = `
  CREATE FUNCTION queue_booking() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    INSERT INTO pgboss.job (name, data) VALUES ('sync', jsonb_build_object('id', NEW.id));
    RETURN NULL;
  END $$;
  CREATE TRIGGER queue_booking AFTER UPDATE ON bookings FOR EACH ROW
    WHEN (NEW.payment_status = 'completed' AND OLD.payment_status IS DISTINCT FROM 'completed')
    EXECUTE FUNCTION queue_booking();`

// Jobs of one fetch. It waits for the slowest of a batch before it fetches again, so a batch is many times what is in
// flight; more than these gained nothing.
const BATCH = 500

// Its housekeeping (archive, counts) is off, so that it is not what is measured.
const boss = new PgBoss({ db: { executeSql: (text, values) => database.query(text, values) }, supervise: false })
boss.on('error', giveUp)
await boss.start()
await boss.createQueue('sync')

const worker = await boss.work('sync', { batchSize: BATCH, pollingIntervalSeconds: 0.5 }, async jobs => {
  // The next fetch follows at once while there is more; half a second is the shortest pause it allows otherwise.
  if (jobs.length === BATCH) boss.notifyWorker(worker)
  const lane = async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) await sync(job.data.id)
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
})

await database.query(TRIGGER)
await fetchToken()
ready()
