import { createRequire } from 'node:module'

/** Loaded where it is wanted: it would be 50 ms of every start. */
export const loadYaml = () => createRequire(import.meta.url)('yaml') as typeof import('yaml')
