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

/** The variables for `--help`: name and default, one a line. */
export function variablesText(): string {
  return Object.entries(ConfigSchema.properties)
    .map(([name, variable]) => `  ${name.padEnd(24)} ${variable.default || 'not set'}`)
    .join('\n')
}
