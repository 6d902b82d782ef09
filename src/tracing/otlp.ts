import { setTimeout as sleep } from 'node:timers/promises'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { TracingSettings } from '../config/tracing.ts'
import { version } from '../version.ts'
import { createTracing, type Tracing } from './tracing.ts'

/** What sending the last spans may take. */
const LAST_SPANS_MS = 2000

export interface OpenTracing extends Tracing {
  /** Sends what has not been sent, if the collector takes it soon. */
  close(): Promise<void>
}

/**
 * Sends spans to a collector, by OTLP over HTTP in JSON form. OpenTelemetry itself reads what else its variables say: of
 * headers, batches, the sampler and the resource.
 */
export function openTracing({ url, serviceName }: TracingSettings): OpenTracing {
  const resource = defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'marina-distribution', 'service.version': version }))
    .merge(detectResources({ detectors: [envDetector] }))
    .merge(resourceFromAttributes(serviceName === undefined ? {} : { 'service.name': serviceName }))
  const processor = new BatchSpanProcessor(new OTLPTraceExporter({ url }))
  const provider = new BasicTracerProvider({ resource, spanProcessors: [processor] })
  const tracing = createTracing(provider.getTracer('marina-distribution', version))
  const close = async (): Promise<void> => {
    // Spans are no reason to fail, nor to keep who stops the server waiting.
    const sent = provider.shutdown().catch(() => undefined)
    await Promise.race([sent, sleep(LAST_SPANS_MS, undefined, { ref: false })])
  }
  return { ...tracing, close }
}
