import t from 'tap'
import { guard } from '../../src/storage/guard.ts'
import { openS3, type S3Options } from '../../src/storage/s3.ts'
import { type Open, storageContract } from '../storage/contract.ts'
import { keysBelow, multipartsOf, scratchPrefix, settings } from '../support/s3.ts'

const MIB = 1024 * 1024

const openContract =
  (options: Partial<S3Options> = {}): Open =>
  async (t, now) => {
    const prefix = await scratchPrefix(t)
    const open = async () => {
      const driver = await openS3(settings({ ...options, prefix, now }))
      t.teardown(() => driver.close())
      return guard(driver)
    }
    const [driver, peer] = await Promise.all([open(), open()])
    const leftovers = async () => [
      ...(await keysBelow(`${prefix}/uploads`)),
      ...(await keysBelow(`${prefix}/tmp`)),
      ...(await multipartsOf(`${prefix}/made`))
    ]
    return { driver, peer, leftovers }
  }

storageContract(t, 's3', openContract())
storageContract(t, 's3, hardly any buffers', openContract({ bufferMemory: MIB, partSize: 5 * MIB }))
