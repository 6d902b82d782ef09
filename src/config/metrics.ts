import { boolean, host, optional, wholeNumber } from './values.ts'

/** The variables of metrics and probes. */
export const metricsVariables = {
  METRICS_PORT: optional(
    wholeNumber(
      {
        setting: 'metricsPort',
        default: '',
        description:
          'A second TCP port, with `/metrics`, `/livez` and `/readyz` for whoever can reach it, on the address of `METRICS_HOST`; `0` takes any free one.'
      },
      0,
      65535
    )
  ),
  METRICS_HOST: optional(
    host({
      setting: 'metricsHost',
      default: '',
      unset: 'the same as `HOST`',
      description: 'Address that `METRICS_PORT` listens on.'
    })
  ),
  METRICS: boolean({
    setting: 'metricsEnabled',
    default: 'false',
    description: 'Whether `/metrics` is served on `PORT` as well; with access control, to who logs in.'
  })
}
