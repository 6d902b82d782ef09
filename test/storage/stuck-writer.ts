/*
 * A process of its own for the filesystem's test: `node --import tsx stuck-writer.ts FOLDER ID` begins an upload in the
 * folder, writes 2 MiB of `s` as the writer `stuck`, says so and writes on when it is told to, until it is killed.
 */
import { once } from 'node:events'
import { openFilesystem } from '../../src/storage/filesystem.ts'

const [path = '', id = ''] = process.argv.slice(2)
const driver = await openFilesystem({ path })

async function* source(): AsyncGenerator<Uint8Array> {
  for (;;) {
    for (let i = 0; i < 3; i++) yield Buffer.alloc(1024 * 1024, 's')
    process.send?.('written')
    await once(process, 'message')
  }
}

await driver.append(id, source(), { from: undefined, writer: 'stuck', key: 'made' })
