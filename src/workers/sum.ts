import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client'
import type { Exposition } from '../metrics/exposition.ts'

/** The metrics of a process at one moment. */
export type Snapshot = MetricObjectWithValues<MetricValue<string>>[]

export interface Sum extends Exposition {
  /** Keeps what a worker had counted when it was last asked: a sum of counters must never fall. */
  retire(worker: number): Promise<void>
}

/**
 * The metrics of all workers as those of one server.
 *
 * @param ask asks every worker that there is, by its number; undefined: it did not answer, and what it said last stands
 */
export function createSum(ask: () => Promise<Map<number, Snapshot | undefined>>): Sum {
  const lastOf = new Map<number, Snapshot>()
  let retired: Snapshot = []

  async function text(): Promise<string> {
    const current: Snapshot[] = []
    for (const [worker, snapshot] of await ask()) {
      if (snapshot) lastOf.set(worker, snapshot)
      const told = lastOf.get(worker)
      if (told) current.push(told)
    }
    return AggregatorRegistry.aggregate([...current, retired]).metrics()
  }

  async function retire(worker: number): Promise<void> {
    const counted = lastOf.get(worker)?.filter(isCounted)
    lastOf.delete(worker)
    if (counted) retired = await AggregatorRegistry.aggregate([retired, counted]).getMetricsAsJSON()
  }

  return { contentType: Registry.PROMETHEUS_CONTENT_TYPE, text, retire }
}

/** A gauge tells of a process that is there; a counter, of what has happened. The types are written as numbers or words. */
function isCounted({ type }: { type: unknown }): boolean {
  return ['counter', 'histogram'].includes(String(type))
}
