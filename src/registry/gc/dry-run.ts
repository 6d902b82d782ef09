import type { StorageDriver } from '../../storage/driver.ts'

/** The same store, but what is written to it or deleted is not: a collector over it tells what it would do. */
export function withoutWrites(storage: StorageDriver): StorageDriver {
  const refuse = async (): Promise<never> => {
    throw new Error('an upload was begun in a dry run')
  }
  return {
    ...storage,
    put: async () => true,
    delete: async () => undefined,
    abort: async () => undefined,
    append: refuse,
    commit: refuse
  }
}
