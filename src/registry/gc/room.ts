import { isFull } from '../../storage/driver.ts'

/** For a write that a later collection makes up for: without room for it this one goes on to what gives some back. */
export async function pastFull(writing: Promise<unknown>): Promise<void> {
  await writing.catch(error => {
    if (!isFull(error)) throw error
  })
}
