// graphile-worker at the work of booking.js. Started by tests/bench/src/peers.rs.

import { Logger, run } from 'graphile-worker'
import { concurrency, database, fetchToken, giveUp, ready, sync } from './booking.js'

// As its manual has it: a row trigger that calls add_job, which also wakes the worker (NOTIFY).
const TRIGGER = `
  CREATE FUNCTION queue_booking() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    PERFORM graphile_worker.add_job('sync', json_build_object('id', NEW.id));
    RETURN NULL;
  END $$;
  CREATE TRIGGER queue_booking AFTER UPDATE ON bookings FOR EACH ROW
    WHEN (NEW.payment_status = 'completed' AND OLD.payment_status IS DISTINCT FROM 'completed')
    EXECUTE FUNCTION queue_booking();`

const runner = await run({
  pgPool: database,
  taskList: { sync: ({ id }) => sync(id) },
  noHandleSignals: true,
  // A line for each job would cost it time.
  logger: new Logger(() => (level, message) => { if (level === 'error') console.error(message) }),
  preset: {
    worker: {
      concurrentJobs: concurrency,
      // What its manual advises for throughput: jobs are fetched and completed many at a time. No refetchDelay: an idle
      // worker is to be woken at once.
      localQueue: { size: Math.max(500, concurrency) },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0
    }
  }
})
runner.events.on('job:error', ({ error }) => giveUp(error))
runner.events.on('worker:fatalError', ({ error }) => giveUp(error))
runner.events.on('pool:fatalError', ({ error }) => giveUp(error))

await database.query(TRIGGER)
await fetchToken()
ready()
