/** Structured logs on stdout, written synchronously: the last line before an exit is the one that matters most. */
import { destination, pino } from "pino";
import type { Logger } from "../model/ports.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Credentials travel in this header; HTTP errors carry their request's headers three levels down. */
const REDACTED = ["authorization", "Authorization"].flatMap((name) =>
  ["", "*.", "*.*.", "*.*.*."].map((path) => path + name),
);
const STDOUT = 1;

/** `fields` stand on every line. `path`: a file instead of stdout. */
export function createLogger(fields: object, level: LogLevel, path?: string): Logger {
  const options = {
    level,
    base: fields,
    timestamp: pinoTime,
    serializers: { error: pino.stdSerializers.err },
    redact: REDACTED,
  };
  return pino(options, destination({ dest: path ?? STDOUT, sync: true }));
}

const pinoTime = (): string => `,"time":"${new Date().toISOString()}"`;
