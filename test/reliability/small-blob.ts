import { expect } from './http.ts'

const bytes = Buffer.from('{}')
/** Of `{}`. */
export const SMALL_BLOB = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'

/** Pushes it in one request, and fails where that is refused. */
export async function pushSmallBlob(url: string, repository = 'app', headers = {}): Promise<void> {
  const sent = { method: 'POST', headers, body: bytes }
  await expect(201, `${url}/v2/${repository}/blobs/uploads/?digest=${SMALL_BLOB}`, sent)
}
