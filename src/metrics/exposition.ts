import { Registry } from 'prom-client'
import { addProcessMetrics, createCertificateMetric } from './metrics.ts'

/** Metrics as Prometheus reads them. */
export interface Exposition {
  readonly contentType: string
  text(): Promise<string>
}

/** The metrics of this process: where they are gathered, and how they are told. */
export interface ProcessMetrics extends Exposition {
  readonly register: Registry
  /** Notes when the certificate of TLS ends, in ms since 1970. */
  certificateEndsAt(ms: number): void
}

/** Metrics of a process of its own; an embedder's process has those of its app. */
export function createProcessMetrics(): ProcessMetrics {
  const register = new Registry()
  addProcessMetrics(register)
  return {
    register,
    contentType: register.contentType,
    text: () => register.metrics(),
    certificateEndsAt: createCertificateMetric(register)
  }
}
