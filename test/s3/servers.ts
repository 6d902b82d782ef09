import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  CreateBucketCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client
} from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { freePort, type Program, startProgram } from '../reliability/program.ts'
import type { Scratch } from '../reliability/scratch.ts'

/** An S3 server that runs on loopback and is empty at first. */
export interface S3Server extends Program {
  readonly name: string
  readonly endpoint: string
  /** Where it keeps what is in its buckets. */
  readonly folder: string
  /** File of its certificate, where it speaks TLS. */
  readonly caFile: string | undefined
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Makes a bucket and returns the variables of a registry that keeps its content there. */
  createBucket(): Promise<Record<string, string>>
  /**
   * What there is of open uploads in a bucket: records, tails, and multipart uploads of these keys. Not every server lists
   * those of all keys at once.
   */
  uploadsIn(bucket: string, keys: Iterable<string>): Promise<string[]>
}

/** Keeps objects as files in a folder: little more than the protocol, and its code has nothing in common with MinIO's. */
export async function startVersitygw(scratch: Scratch): Promise<S3Server> {
  const folder = await subfolder(scratch, 'versitygw')
  const port = await freePort()
  return start({
    name: 'versitygw',
    folder,
    port,
    program: 'versitygw',
    args: ['-p', `127.0.0.1:${port}`, '-a', accessKeyId, '-s', secretAccessKey, '--quiet', 'posix', folder],
    env: {},
    scratch
  })
}

export async function startMinio(scratch: Scratch): Promise<S3Server> {
  return minio(scratch, 'MinIO', [])
}

/** MinIO over TLS, with a self-signed certificate that is made for it. */
export async function startSecureMinio(scratch: Scratch): Promise<S3Server> {
  const folder = await subfolder(scratch, 'certificates')
  const [key, certificate] = [join(folder, 'private.key'), join(folder, 'public.crt')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const files = ['-keyout', key, '-out', certificate]
  await promisify(execFile)('openssl', [...'req -x509 -newkey rsa:2048 -nodes -days 2'.split(' '), ...names, ...files])
  return minio(scratch, 'MinIO over TLS', ['--certs-dir', folder], certificate)
}

async function minio(scratch: Scratch, name: string, options: string[], caFile?: string): Promise<S3Server> {
  const folder = await subfolder(scratch, 'minio')
  const port = await freePort()
  return start({
    name,
    folder,
    port,
    program: 'minio',
    args: ['server', '--quiet', '--address', `127.0.0.1:${port}`, ...options, folder],
    env: { MINIO_ROOT_USER: accessKeyId, MINIO_ROOT_PASSWORD: secretAccessKey, MINIO_BROWSER: 'off' },
    caFile,
    scratch
  })
}

const accessKeyId = 'marina'
const secretAccessKey = 'marina-secret'

interface Start {
  name: string
  folder: string
  port: number
  program: string
  args: string[]
  env: Record<string, string>
  caFile?: string | undefined
  scratch: Scratch
}

async function start({ name, folder, port, program, args, env, caFile, scratch }: Start): Promise<S3Server> {
  const endpoint = `${caFile === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    ...(caFile && { requestHandler: new NodeHttpHandler({ httpsAgent: { ca: await readFile(caFile) } }) })
  })
  const running = await startProgram({
    program,
    args,
    env,
    log: join(scratch.folder, 's3.log'),
    ready: async () => (await client.send(new ListBucketsCommand())).$metadata.httpStatusCode === 200
  })
  return {
    ...running,
    name,
    endpoint,
    folder,
    caFile,
    accessKeyId,
    secretAccessKey,
    uploadsIn: (bucket, keys) => uploadsIn(client, bucket, keys),
    createBucket: async () => {
      const Bucket = `marina-${randomBytes(4).toString('hex')}`
      await client.send(new CreateBucketCommand({ Bucket }))
      return {
        STORAGE_DRIVER: 's3',
        S3_BUCKET: Bucket,
        S3_ENDPOINT: endpoint,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        ...(caFile && { S3_CA_FILE: caFile })
      }
    }
  }
}

async function uploadsIn(client: S3Client, Bucket: string, keys: Iterable<string>): Promise<string[]> {
  const found: string[] = []
  for (const Prefix of ['uploads/', 'tmp/']) {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket, Prefix }))
    found.push(...Contents.map(({ Key = '' }) => Key))
  }
  for (const Prefix of keys) {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix }))
    found.push(...Uploads.map(({ Key, UploadId }) => `multipart upload ${UploadId} of ${Key}`))
  }
  return found
}

async function subfolder({ folder }: Scratch, name: string): Promise<string> {
  const path = join(folder, `${name}-${randomBytes(3).toString('hex')}`)
  await mkdir(path)
  return path
}
