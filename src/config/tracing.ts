import type { Reader } from './reader.ts'

/** Where traces go. */
export interface TracingSettings {
  /** Of the collector, for traces. */
  url: string
  /** Undefined: as the resource's attributes say, or the program's name. */
  serviceName?: string | undefined
}

/** OpenTelemetry's own rule: an endpoint for traces is used as it is, one for everything gets this at its end. */
const TRACES = '/v1/traces'

/** Undefined: there are no traces, and nothing of OpenTelemetry is loaded. */
export function readTracing({ read }: Reader): TracingSettings | undefined {
  const everything = read('OTEL_EXPORTER_OTLP_ENDPOINT')
  const url = read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? (everything && everything + TRACES)
  const serviceName = read('OTEL_SERVICE_NAME')
  const wanted = !read('OTEL_SDK_DISABLED') && read('OTEL_TRACES_EXPORTER') === 'otlp'
  return wanted && url !== undefined ? { url, serviceName } : undefined
}
