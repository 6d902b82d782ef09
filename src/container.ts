#!/usr/bin/env node
/** Where a container starts: it gives up root, and from then on it is the command line. */
import { createReader } from './config/reader.ts'
import { dataFolder, mountsHere } from './container/data-folder.ts'
import { becomeOwner } from './container/data-owner.ts'
import { foreignConfig } from './container/foreign-config.ts'

const ignored = await foreignConfig()
if (ignored) {
  console.error(ignored)
  process.exit(1)
}
// Not by the image: what stands there would contradict REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY.
if (!createReader(process.env).isSet('STORAGE_PATH')) process.env.STORAGE_PATH = await dataFolder(await mountsHere())
const notice = await becomeOwner(createReader(process.env).read('STORAGE_PATH'))
if (notice) console.error(notice)
await import('./cli.ts')
