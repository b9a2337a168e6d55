// push.mjs BASE_URL: winston-loki (JSON and protobuf) and the OTLP log exporters (JSON and protobuf) each push 50 lines.
import winston from 'winston';
import LokiTransport from 'winston-loki';
import { LoggerProvider, BatchLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { OTLPLogExporter as OtlpJson } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as OtlpProto } from '@opentelemetry/exporter-logs-otlp-proto';
import { Resource } from '@opentelemetry/resources';
import { SeverityNumber } from '@opentelemetry/api-logs';

const base = process.argv[2];
const lines = 50;

async function winstonLoki(json, app) {
  let failure;
  const transport = new LokiTransport({
    host: base, json, labels: { app }, batching: true, interval: 1, replaceTimestamp: false,
    format: winston.format.printf((info) => info.message), onConnectionError: (error) => { failure = error; },
  });
  const logger = winston.createLogger({ level: 'debug', transports: [transport] });
  for (let i = 0; i < lines; ++i) logger.log(i % 10 === 0 ? 'error' : 'info', `${app} line ${i}`);
  await transport.flush();
  if (failure) throw failure;
}

async function otlp(Exporter, service) {
  const exporter = new Exporter({ url: `${base}/otlp/v1/logs` });
  const provider = new LoggerProvider({ resource: new Resource({ 'service.name': service, 'host.name': 'h1' }) });
  provider.addLogRecordProcessor(new BatchLogRecordProcessor(exporter));
  const logger = provider.getLogger('test-scope', '1.0');
  for (let i = 0; i < lines; ++i) {
    logger.emit({ severityNumber: i % 10 === 0 ? SeverityNumber.ERROR : SeverityNumber.INFO, body: `${service} line ${i}`, attributes: { number: i, user: 'u1' } });
  }
  await provider.forceFlush();
  await provider.shutdown();
}

await winstonLoki(true, 'winston-json');
await winstonLoki(false, 'winston-proto');
await otlp(OtlpJson, 'otel-json');
await otlp(OtlpProto, 'otel-proto');
process.exit(0);
