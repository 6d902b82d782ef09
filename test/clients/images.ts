import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { digestOf } from '../reliability/bytes.ts'
import { run } from './commands.ts'

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  artifactType?: string
}

export interface Manifest {
  mediaType?: string
  config?: Descriptor
  layers?: Descriptor[]
  manifests?: Descriptor[]
}

/** What the clients push: two images in an OCI layout, and their files. */
export interface Samples {
  /** Folder of the OCI layout. */
  layout: string
  /** Tag `hello`: a program and the message that it prints, for the machine at hand. */
  hello: Descriptor
  /** As clients write the machine at hand: `linux/amd64`. */
  platform: string
  /** Tag `multi`: an index of `hello` and an image for another architecture. */
  multi: Descriptor
  /** Folder with the files of `hello`: `hello` and `message.txt`. */
  files: string
  message: string
}

const architecture = process.arch === 'x64' ? 'amd64' : process.arch
const otherArchitecture = architecture === 'arm64' ? 'amd64' : 'arm64'
const message = 'Hello from an image that went through the registry\n'

const types = {
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json'
}

export function parseManifest(bytes: Buffer): Manifest {
  return JSON.parse(bytes.toString()) as Manifest
}

/** Builds the samples below `folder`; this needs Go and tar. */
export async function buildSamples(folder: string): Promise<Samples> {
  const files = join(folder, 'files')
  const layout = join(folder, 'layout')
  await mkdir(files, { recursive: true })
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true })
  await writeFile(join(files, 'message.txt'), message)
  const build = ['build', '-trimpath', '-ldflags=-s -w', '-o', join(files, 'hello')]
  await run('go', [...build, join(import.meta.dirname, 'hello.go')], { env: { ...process.env, CGO_ENABLED: '0' } })

  const layers = await Promise.all([layerOf(files, 'hello'), layerOf(files, 'message.txt')])
  const hello = await addImage(layout, architecture, layers)
  const other = await addImage(layout, otherArchitecture, layers.slice(1))
  const manifests = [
    { ...hello, platform: { os: 'linux', architecture } },
    { ...other, platform: { os: 'linux', architecture: otherArchitecture } }
  ]
  const multi = await addJson(layout, types.index, { schemaVersion: 2, mediaType: types.index, manifests })
  await writeLayoutIndex(layout, { hello, multi })
  return { layout, hello, platform: `linux/${architecture}`, multi, files, message }
}

interface Layer {
  bytes: Buffer
  /** Digest of the layer before compression, as an image's config names it. */
  diffId: string
}

async function layerOf(files: string, name: string): Promise<Layer> {
  const tar = await run('tar', ['-c', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '-C', files, name])
  return { bytes: gzipSync(tar), diffId: digestOf(tar) }
}

async function addImage(layout: string, platform: string, layers: Layer[]): Promise<Descriptor> {
  const config = await addJson(layout, types.config, {
    architecture: platform,
    os: 'linux',
    config: { Cmd: ['/hello'] },
    rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) }
  })
  return await addJson(layout, types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config,
    layers: await Promise.all(layers.map(layer => addBlob(layout, types.layer, layer.bytes)))
  })
}

/** Indented, so that a registry or client that writes JSON anew is found out. */
async function addJson(layout: string, mediaType: string, content: object): Promise<Descriptor> {
  return await addBlob(layout, mediaType, Buffer.from(`${JSON.stringify(content, null, 3)}\n`))
}

async function addBlob(layout: string, mediaType: string, bytes: Buffer): Promise<Descriptor> {
  const digest = digestOf(bytes)
  await writeFile(blobPath(layout, digest), bytes)
  return { mediaType, digest, size: bytes.length }
}

async function writeLayoutIndex(layout: string, tags: Record<string, Descriptor>): Promise<void> {
  const manifests = Object.entries(tags).map(([tag, descriptor]) => ({
    ...descriptor,
    annotations: { 'org.opencontainers.image.ref.name': tag }
  }))
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, mediaType: types.index, manifests }))
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

/** Where content is read from: a registry's repository, or a layout. */
export interface Content {
  manifest(digest: string): Promise<Buffer>
  blob(digest: string): Promise<Buffer>
}

/** The manifest and all that hangs on it, by digest: every blob, and for an index every image. */
export async function everythingOf(digest: string, content: Content): Promise<Map<string, Buffer>> {
  const bytes = await content.manifest(digest)
  const found = new Map([[digest, bytes]])
  const { manifests = [], config, layers = [] } = parseManifest(bytes)
  for (const child of manifests) {
    for (const [key, value] of await everythingOf(child.digest, content)) found.set(key, value)
  }
  for (const blob of config === undefined ? layers : [config, ...layers]) {
    const blobBytes = await content.blob(blob.digest)
    assert.equal(blobBytes.length, blob.size)
    found.set(blob.digest, blobBytes)
  }
  return found
}

/** As `everythingOf`, for a manifest in an OCI layout. */
export async function everythingInLayout(layout: string, digest: string): Promise<Map<string, Buffer>> {
  const read = (name: string) => readFile(blobPath(layout, name))
  return await everythingOf(digest, { manifest: read, blob: read })
}

/** Throws unless both hold the same things with the same bytes. */
export function assertSame(actual: Map<string, Buffer>, wanted: Map<string, Buffer>): void {
  assert.deepEqual([...actual.keys()].sort(), [...wanted.keys()].sort())
  for (const [digest, bytes] of wanted) assert.ok(actual.get(digest)?.equals(bytes), `other bytes for ${digest}`)
}

/** Throws unless the folder holds every file of the wanted one with the same bytes, and no other. */
export async function assertSameFiles(actual: string, wanted: string): Promise<void> {
  const names = (await readdir(wanted)).sort()
  assert.deepEqual((await readdir(actual)).sort(), names)
  for (const name of names) {
    const bytes = await readFile(join(actual, name))
    assert.ok(bytes.equals(await readFile(join(wanted, name))), `${name} has other bytes`)
  }
}

function blobPath(layout: string, digest: string): string {
  return join(layout, 'blobs', digest.replace(':', '/'))
}
