import { digestOf } from '../reliability/bytes.ts'
import type { Client } from '../support/client.ts'
import { blobOf, type Ledger, sessionOf } from './ledger.ts'
import { type Holding, nothing, type OpenSession, type Operation, type Way } from './operation.ts'

/** A repository with an image that stays; its blobs are for mounts. */
export const SHARED = 'team/shared'

const GONE = 404

export function pushBlob({ repository, blobs }: Holding, bytes: Buffer, way: Way): Operation {
  return {
    name: `push of a blob by ${way} to ${repository}`,
    run: async (client, ledger) => {
      await sendBlob(client, ledger, repository, bytes, way)
      return () => blobs.set(digestOf(bytes), bytes)
    }
  }
}

export async function sendBlob(client: Client, ledger: Ledger, repository: string, bytes: Buffer, way: Way) {
  const digest = digestOf(bytes)
  const blob = { resource: blobOf(repository, digest), to: digest }
  if (way === 'single') {
    const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
    await ledger.ask([blob], [201], () => client.send('POST', path, { body: bytes }))
    return
  }
  const location = await client.begin(repository)
  const half = way === 'patches' ? bytes.length >> 1 : 0
  if (half > 0) await sendFirst(client, ledger, location, bytes, half)
  const ended = { resource: sessionOf(location), to: undefined }
  await ledger.ask([blob, ended], [201], () => client.close(location, digest, { body: bytes.subarray(half) }))
}

async function sendFirst(client: Client, ledger: Ledger, location: string, bytes: Buffer, size: number) {
  await ledger.ask([{ resource: sessionOf(location), to: size }], [202], () =>
    client.patch(location, bytes.subarray(0, size))
  )
}

export function mount({ repository, blobs }: Holding, bytes: Buffer): Operation {
  const digest = digestOf(bytes)
  return {
    name: `mount into ${repository}`,
    run: async (client, ledger) => {
      const path = `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${SHARED}`
      await ledger.ask([{ resource: blobOf(repository, digest), to: digest }], [201], () => client.send('POST', path))
      return () => blobs.set(digest, bytes)
    }
  }
}

export function deleteBlob({ repository, blobs }: Holding, digest: string): Operation {
  return {
    name: `deletion of a blob of ${repository}`,
    run: async (client, ledger, again) => {
      const gone = { resource: blobOf(repository, digest), to: undefined }
      await ledger.ask([gone], again ? [202, GONE] : [202], () => client.del(`/v2/${repository}/blobs/${digest}`))
      return () => blobs.delete(digest)
    }
  }
}

/** Bytes that are not what the closing PUT says. */
export function pushWrong({ repository }: Holding, bytes: Buffer): Operation {
  const digest = digestOf(Buffer.concat([bytes, bytes]))
  return {
    name: `push of a wrong digest to ${repository}`,
    run: async (client, ledger) => {
      const location = await client.begin(repository)
      const none = [blobOf(repository, digest), blobOf(repository, digestOf(bytes)), sessionOf(location)]
      const changes = none.map(resource => ({ resource, to: undefined }))
      await ledger.ask(changes, [400], () => client.close(location, digest, { body: bytes }))
      return nothing
    }
  }
}

export function cancel({ repository }: Holding, bytes: Buffer): Operation {
  return {
    name: `cancelled upload to ${repository}`,
    run: async (client, ledger) => {
      const location = await client.begin(repository)
      await sendFirst(client, ledger, location, bytes, bytes.length)
      const changes = [{ resource: sessionOf(location), to: undefined }]
      await ledger.ask(changes, [204], () => client.del(location))
      return nothing
    }
  }
}

/** An upload that is gone on with some time later. */
export function beginSession({ repository, sessions }: Holding, bytes: Buffer): Operation {
  const sent = 2 + (bytes.length >> 2)
  return {
    name: `begun upload to ${repository}`,
    run: async (client, ledger) => {
      const location = await client.begin(repository)
      await sendFirst(client, ledger, location, bytes, sent)
      return () => sessions.push({ location, bytes, sent })
    }
  }
}

export function patchMore({ repository }: Holding, session: OpenSession): Operation {
  const { location, bytes, sent } = session
  const target = sent + Math.ceil((bytes.length - sent) / 2)
  return {
    name: `chunk for an upload to ${repository}`,
    run: async (client, ledger, again) => {
      const offset = await offsetOf(client, location)
      if (offset === undefined || offset < sent || (offset > sent && !again)) {
        throw new Error(`an upload stands at ${offset} where ${sent} bytes were acknowledged`)
      }
      if (offset < target) {
        const changes = [{ resource: sessionOf(location), to: target }]
        await ledger.ask(changes, [202], () => client.patch(location, bytes.subarray(offset, target)))
      }
      return () => {
        session.sent = target
      }
    }
  }
}

export function finish({ repository, sessions, blobs }: Holding, session: OpenSession): Operation {
  const { location, bytes, sent } = session
  const digest = digestOf(bytes)
  return {
    name: `end of an upload to ${repository}`,
    run: async (client, ledger, again) => {
      const offset = await offsetOf(client, location)
      if (!again && offset !== sent) throw new Error(`an upload stands at ${offset} instead of ${sent}`)
      const ended = { resource: sessionOf(location), to: undefined }
      if (offset === undefined) {
        ledger.allow([ended])
        await sendBlob(client, ledger, repository, bytes, 'put')
      } else {
        const changes = [ended, { resource: blobOf(repository, digest), to: digest }]
        await ledger.ask(changes, [201], () => client.close(location, digest, { body: bytes.subarray(offset) }))
      }
      return () => {
        sessions.splice(sessions.indexOf(session), 1)
        blobs.set(digest, bytes)
      }
    }
  }
}

/** How many bytes of an upload the registry has; undefined: it knows no such upload. */
export async function offsetOf(client: Client, location: string): Promise<number | undefined> {
  const answer = await client.get(location)
  if (answer.status === GONE) return undefined
  const last = /^0-(\d+)$/.exec(answer.headers.range ?? '')?.[1]
  if (answer.status !== 204 || last === undefined) {
    throw new Error(`GET of an upload: ${answer.status}, Range ${answer.headers.range}\n${answer.body}`)
  }
  // No upload is left at one byte, so `0-0` is none.
  return last === '0' ? 0 : Number(last) + 1
}
