/** What is tested in these examples: a pull of a tag's manifest that tries again where the registry is busy. */
export async function pullManifest(host, repository, tag, tries = 3) {
  for (let left = tries; ; left--) {
    const answer = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`)
    if (answer.ok) return answer.json()
    await answer.body?.cancel()
    if (answer.status !== 429 || left === 1) throw new Error(`the registry answered ${answer.status}`)
  }
}

/** Pushes an empty artifact, so that there is something to pull. */
export async function pushArtifact(url, repository, tag) {
  const digest = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
  await fetch(`${url}/v2/${repository}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: '{}' })
  const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest, size: 2 }
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = { schemaVersion: 2, mediaType, artifactType: 'text/plain', config: empty, layers: [empty] }
  const answer = await fetch(`${url}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: JSON.stringify(manifest)
  })
  if (answer.status !== 201) throw new Error(`the registry answered ${answer.status}`)
}
