import type { Reader } from './reader.ts'
import { baseUrl, boolean, choice, optional, text } from './values.ts'

/** The variables of OpenTelemetry that the registry reads itself. */
export const tracingVariables = {
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(
    baseUrl({
      default: '',
      unset: 'no traces',
      description:
        'OpenTelemetry collector that traces are sent to (OTLP over HTTP), without the `/v1/traces` at its end.'
    })
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: optional(
    baseUrl({ default: '', description: 'The same as a whole URL, which comes first.' })
  ),
  OTEL_TRACES_EXPORTER: choice(
    { default: 'otlp', description: 'Whether traces are sent where there is an endpoint.' },
    ['otlp', 'none']
  ),
  OTEL_SDK_DISABLED: boolean({ default: 'false', description: 'Whether there are no traces, whatever else is set.' }),
  OTEL_SERVICE_NAME: optional(
    text(
      { default: '', unset: '`marina-distribution`', description: 'What the registry is called in traces.' },
      'any text'
    )
  )
}

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
