import { type StaticDecode, Type } from '@sinclair/typebox'
import { accessVariables, auditVariables } from './access.ts'
import { generalVariables } from './general.ts'
import { limitVariables, quotaVariables } from './limits.ts'
import { metricsVariables } from './metrics.ts'
import { oidcVariables } from './oidc.ts'
import { s3Variables } from './s3.ts'
import { tlsVariables } from './tls.ts'
import { tokenVariables } from './tokens.ts'
import { tracingVariables } from './tracing.ts'

/** The variables by section of docs/configuration.md, in the order of its tables. */
export const sections = {
  general: generalVariables,
  observability: { ...metricsVariables, ...tracingVariables },
  access: { ...accessVariables, ...auditVariables, ...tokenVariables, ...oidcVariables },
  limits: { ...limitVariables, ...quotaVariables },
  tls: tlsVariables,
  s3: s3Variables
}

/**
 * Every environment variable that the registry reads: how its text is read, its default and what it does.
 * `npm run docs` writes the tables of docs/configuration.md from it.
 */
export const ConfigSchema = Type.Object({
  ...sections.general,
  ...sections.observability,
  ...sections.access,
  ...sections.limits,
  ...sections.tls,
  ...sections.s3
})

export type Variables = (typeof ConfigSchema)['properties']
export type VariableName = keyof Variables
/** What a variable's text is read to. */
export type VariableValue<N extends VariableName> =
  | StaticDecode<Variables[N]>
  | (Variables[N] extends { optional: true } ? undefined : never)

export const variableNames = Object.keys(ConfigSchema.properties) as VariableName[]
/** Those that are read with `STORAGE_DRIVER=s3` alone. */
export const s3VariableNames = Object.keys(s3Variables) as (keyof typeof s3Variables)[]

const TITLES: Readonly<Record<keyof typeof sections, string>> = {
  general: 'Serving, storage, log and collection',
  observability: 'Metrics and traces',
  access: 'Access control',
  limits: 'Limits and quotas',
  tls: 'TLS',
  s3: 'Storage in S3 (STORAGE_DRIVER=s3)'
}

/** The variables for `--help`, by section: name, default and what it means, one a line of at most `width` characters. */
export function variablesText(width = 140): string {
  return Object.entries(sections)
    .map(([section, variables]) => {
      const lines = Object.entries(variables).map(([name, { default: preset, description }]) => {
        const text = `  ${name.padEnd(28)} ${(preset || '-').padEnd(16)} ${firstSentence(description)}`
        return text.length > width ? `${text.slice(0, width - 1)}…` : text
      })
      return [`${TITLES[section as keyof typeof sections]}:`, ...lines].join('\n')
    })
    .join('\n\n')
}

/** Without the marks of Markdown. */
const firstSentence = (description: string): string =>
  description
    .replace(/`/g, '')
    .split(/[.;:] /, 1)[0]!
    .replace(/\.$/, '')
