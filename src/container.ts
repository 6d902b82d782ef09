#!/usr/bin/env node
/** Where a container starts: it gives up root, and from then on it is the command line. */
import { becomeOwner } from './container/data-owner.ts'

const problem = await becomeOwner(process.env.STORAGE_PATH ?? '/data')
if (problem) console.error(problem)
await import('./cli.ts')
