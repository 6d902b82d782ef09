import { StorageError } from '../driver.ts'

/*
 * Keys of the driver's own, which its callers neither write nor see:
 *
 *   uploads/<id>                  the record of an open upload
 *   uploads/<id>.tail/<nonce>     bytes of it that are no part yet
 *   tmp/<nonce>                   what the start tries writing with
 */
export const UPLOADS = 'uploads/'
export const TEMPORARY = 'tmp/'

export const recordKey = (id: string): string => UPLOADS + id
/** An id has no dot. */
export const tailsOf = (id: string): string => `${UPLOADS}${id}.tail/`

export const isReserved = (key: string): boolean => /^(?:uploads|tmp)(?:\/|$)/.test(key)

/** @throws StorageError `failed` for a key of the driver's own */
export function ordinary(key: string): string {
  if (isReserved(key)) throw new StorageError('failed', `${key} belongs to the driver`)
  return key
}
