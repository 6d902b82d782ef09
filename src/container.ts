#!/usr/bin/env node
/** Where a container starts: it gives up root, and from then on it is the command line. */
import { createReader } from './config/reader.ts'
import { becomeOwner } from './container/data-owner.ts'

// Not by the image: what stands there would contradict REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY.
if (!createReader(process.env).isSet('STORAGE_PATH')) process.env.STORAGE_PATH = '/data'
const problem = await becomeOwner(createReader(process.env).read('STORAGE_PATH'))
if (problem) console.error(problem)
await import('./cli.ts')
