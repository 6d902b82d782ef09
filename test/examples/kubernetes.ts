import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { type Config, configWarnings, loadConfig } from '../../src/config.ts'

interface Named {
  name: string
}
interface Container extends Named {
  env?: (Named & { value: string })[]
  envFrom?: { configMapRef?: Named; secretRef?: Named }[]
  ports: (Named & { containerPort: number })[]
  livenessProbe: Probe
  readinessProbe: Probe
  volumeMounts: (Named & { mountPath: string })[]
}
interface Probe {
  httpGet: { path: string; port: string }
  timeoutSeconds: number
}
interface Pod {
  serviceAccountName?: string
  terminationGracePeriodSeconds: number
  containers: [Container]
  volumes: (Named & { secret?: { secretName: string } })[]
}
interface Resource {
  kind: string
  metadata: Named
  data?: Record<string, string>
  stringData?: Record<string, string>
  spec: {
    replicas?: number
    selector: { matchLabels: Record<string, string> } & Record<string, string>
    template: { metadata: { labels: Record<string, string> }; spec: Pod }
    ports: { targetPort: string }[]
  }
}

export interface Workload {
  config: Config
  kinds: string[]
  replicas: number
  probes: string[]
}

/** The manifests of Kubernetes that a text holds. Throws where it is no YAML. */
export function parseManifests(text: string): Resource[] {
  return parseAllDocuments(text).flatMap(document => {
    assert.deepEqual(document.errors, [])
    const resource: unknown = document.toJS()
    return resource ? [resource as Resource] : []
  })
}

/**
 * Reads the one Deployment among the manifests as the registry in it would, with its secrets in files below `folder`.
 * Throws where what is named is not there, or the registry would not take its variables.
 *
 * @param secrets what Secrets hold that are not among the manifests
 */
export function readWorkload(
  manifests: readonly Resource[],
  folder: string,
  secrets: Record<string, Record<string, string>> = {}
): Workload {
  const find: Find = (kind, name) =>
    manifests.find(({ kind: other, metadata }) => other === kind && (name === undefined || metadata.name === name))
  const { replicas = 1, template } = find('Deployment')!.spec
  const { containers, terminationGracePeriodSeconds } = template.spec
  const [container] = containers
  checkSelectors(find)
  mountSecrets(find, folder, secrets)

  const env = environmentOf(container, find, folder, secrets)
  const config = loadConfig(env)
  assert.deepEqual(configWarnings(env), [])
  const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]))
  for (const { targetPort } of find('Service')!.spec.ports) assert.ok(ports.has(targetPort), targetPort)
  assert.equal(ports.get('http'), config.port)
  if (env.METRICS_PORT) assert.equal(String(ports.get('metrics')), env.METRICS_PORT)
  assert.ok(terminationGracePeriodSeconds * 1000 > config.shutdownTimeoutMs)
  if (!config.s3) assert.ok(container.volumeMounts.some(({ mountPath }) => mountPath === config.storagePath))
  const probes = [container.livenessProbe, container.readinessProbe].map(({ httpGet, timeoutSeconds }) => {
    assert.equal(httpGet.port, 'http')
    assert.ok(timeoutSeconds >= 5)
    return httpGet.path
  })
  return { config, kinds: manifests.map(({ kind }) => kind).sort(), replicas, probes }
}

type Find = (kind: string, name?: string) => Resource | undefined

/** That whatever selects pods selects those of the Deployment. */
function checkSelectors(find: Find): void {
  const { selector, template } = find('Deployment')!.spec
  const { labels } = template.metadata
  const budget = find('PodDisruptionBudget')
  const wanted = [
    selector.matchLabels,
    find('Service')!.spec.selector,
    ...(budget ? [budget.spec.selector.matchLabels] : [])
  ]
  for (const some of wanted) assert.deepEqual({ ...labels, ...some }, labels, 'a selector that finds the pods')
}

function mountSecrets(find: Find, folder: string, secrets: Record<string, Record<string, string>>): void {
  const { containers, volumes } = find('Deployment')!.spec.template.spec
  for (const { name, mountPath } of containers[0].volumeMounts) {
    const volume = volumes.find(volume => volume.name === name)
    assert.ok(volume, `the volume ${name}`)
    if (!volume.secret) continue
    const { secretName } = volume.secret
    const held = find('Secret', secretName)?.stringData ?? secrets[secretName]
    assert.ok(held, `the Secret ${secretName}`)
    mkdirSync(join(folder, mountPath), { recursive: true })
    for (const [file, text] of Object.entries(held)) writeFileSync(join(folder, mountPath, file), text)
  }
}

/** The container's environment, with the paths of secrets below `folder`. */
function environmentOf(
  { env = [], envFrom = [] }: Container,
  find: Find,
  folder: string,
  secrets: Record<string, Record<string, string>>
): Record<string, string> {
  const given = [
    ...envFrom.flatMap(({ configMapRef, secretRef }) =>
      Object.entries(configMapRef ? find('ConfigMap', configMapRef.name)!.data! : secrets[secretRef!.name]!)
    ),
    ...env.map(({ name, value }): [string, string] => [name, value])
  ]
  // YAML may have made something else of it, and then Kubernetes would refuse it.
  for (const [name, text] of given) assert.equal(typeof text, 'string', name)
  return Object.fromEntries(given.map(([name, text]) => [name, text.startsWith('/run/') ? join(folder, text) : text]))
}
