import { baseUrl, boolean, choice, optional, text, wholeNumber } from './values.ts'

/** The variables of what is told to those who watch the registry. */
export const observeVariables = {
  METRICS_PORT: optional(
    wholeNumber(
      {
        default: '',
        description:
          'A second TCP port, with `/metrics`, `/livez` and `/readyz` for whoever can reach it, on the address of `HOST`; `0` takes any free one.'
      },
      0,
      65535
    )
  ),
  METRICS: boolean({
    default: 'false',
    description: 'Whether `/metrics` is served on `PORT` as well; with access control, to who logs in.'
  }),
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
