import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'
import type { PasswordCheck } from '../access/passwords.ts'
import type { Report } from '../registry/gc/report.ts'
import type { Registry as Domain } from '../registry/registry.ts'
import { type StorageDriver, StorageError } from '../storage/driver.ts'
import type { StorageObserver } from '../storage/guard.ts'
import { version } from '../version.ts'
import { createRequestMetrics } from './requests.ts'
import { createUploadCount } from './uploads.ts'

/** Upper bounds in seconds: a small object on a local disk, up to a large layer on a slow line. */
const STORAGE_SECONDS = [0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5, 30]

export type Metrics = ReturnType<typeof createMetrics>

/**
 * The metrics of one registry (docs/observability.md). They are kept in `register` and nowhere else, so that an app may
 * have several registries, each with its own.
 */
export function createMetrics(register: Registry) {
  const registers = [register]
  const passwords = new Counter({
    registers,
    name: 'marina_password_checks_total',
    help: 'Passwords looked at, by what came of it; `remembered` are those found right before.',
    labelNames: ['result']
  })
  return {
    register,
    requests: createRequestMetrics(register),
    storage: storageMetrics(register),
    collected: gcMetrics(register),
    passwordChecked: (result: PasswordCheck): void => passwords.inc({ result }),
    opened: (storage: StorageDriver, registry: Domain): void => {
      buildMetric(register, storage)
      createUploadCount(register, storage)
      cacheMetrics(register, registry)
    }
  }
}

/** Metrics of the process itself, most by their usual names: processor time, memory, event loop. */
export function addProcessMetrics(register: Registry): void {
  new Gauge({ registers: [register], name: 'marina_workers', help: 'Processes that serve.' }).set(1)
  collectDefaultMetrics({ register })
}

/** There only where TLS is on: without a certificate the metric would say that it ended in 1970. */
export function createCertificateMetric(register: Registry): (endsAtMs: number) => void {
  let gauge: Gauge | undefined
  return endsAtMs => {
    gauge ??= new Gauge({
      registers: [register],
      name: 'marina_tls_certificate_expiry_timestamp_seconds',
      help: 'When the certificate of TLS_CERT_FILE ends.',
      aggregator: 'min'
    })
    gauge.set(endsAtMs / 1000)
  }
}

/** Always 1: what is of interest are the labels, to be joined with other metrics. */
function buildMetric(register: Registry, { name }: StorageDriver): void {
  new Gauge({
    registers: [register],
    name: 'marina_build_info',
    help: 'The version that runs, on which Node.js and on which storage.',
    labelNames: ['version', 'node_version', 'storage'],
    aggregator: 'first'
  }).set({ version, node_version: process.versions.node, storage: name }, 1)
}

/** Each call of the store's driver. What a caller does wrong, such as a range that lies outside, is no fault of the store. */
function storageMetrics(register: Registry): StorageObserver {
  const registers = [register]
  const seconds = new Histogram({
    registers,
    name: 'marina_storage_operation_duration_seconds',
    help: 'Time that calls of the storage took; `read` until its first byte, `append` with the time that the client takes to send.',
    labelNames: ['operation'],
    buckets: STORAGE_SECONDS
  })
  const errors = new Counter({
    registers,
    name: 'marina_storage_errors_total',
    help: 'Calls of the storage that failed: `full`, `unavailable`, or `failed` for any other reason.',
    labelNames: ['operation', 'fault']
  })
  return operation => {
    const startedAt = performance.now()
    return error => {
      seconds.observe({ operation }, (performance.now() - startedAt) / 1000)
      if (!(error instanceof StorageError)) return
      const { fault } = error
      if (fault !== 'range' && fault !== 'conflict') errors.inc({ operation, fault })
    }
  }
}

/** Undefined: the collection failed. */
function gcMetrics(register: Registry): (report: Report | undefined) => void {
  const registers = [register]
  const runs = new Counter({
    registers,
    name: 'marina_gc_runs_total',
    help: 'Collections by this process, by how they ended: `done`, or `failed`.',
    labelNames: ['result']
  })
  // From the start, so that an alert sees the first one, and that there is none.
  for (const result of ['done', 'failed']) runs.inc({ result }, 0)
  const found = new Counter({
    registers,
    name: 'marina_gc_removed_total',
    help: 'What collections took away.',
    labelNames: ['kind']
  })
  const freed = new Counter({
    registers,
    name: 'marina_gc_freed_bytes_total',
    help: 'Bytes that collections gave back.'
  })
  const gauge = (name: string, help: string) => new Gauge({ registers, name, help, aggregator: 'max' })
  const last = gauge('marina_gc_last_run_timestamp_seconds', 'When the last collection that was done ended.')
  const seconds = gauge('marina_gc_last_duration_seconds', 'How long it took.')
  const problems = gauge('marina_gc_last_problems', 'Repositories that it could not look at.')
  return report => {
    runs.inc({ result: report ? 'done' : 'failed' })
    if (!report) return
    for (const kind of ['manifests', 'links', 'leftovers', 'contents', 'sessions'] as const) {
      found.inc({ kind }, report[kind])
    }
    freed.inc(report.bytes)
    last.setToCurrentTime()
    seconds.set(report.durationMs / 1000)
    problems.set(report.problems.length)
  }
}

function cacheMetrics(register: Registry, { caches }: Domain): void {
  new Counter({
    registers: [register],
    name: 'marina_cache_requests_total',
    help: 'Small objects looked for in memory, by whether they were there.',
    labelNames: ['cache', 'result'],
    collect() {
      this.reset()
      for (const [cache, counts] of Object.entries(caches)) {
        const { hits, misses } = counts()
        this.inc({ cache, result: 'hit' }, hits)
        this.inc({ cache, result: 'miss' }, misses)
      }
    }
  })
}
