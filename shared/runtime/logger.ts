/** Structured logs on stdout, written synchronously: the last line before an exit is the one that matters most. */
import { destination, pino } from "pino";
import type { Logger } from "../model/ports.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function createLogger(fields: object, level: LogLevel): Logger {
  const options = {
    level,
    base: fields,
    timestamp: pinoTime,
    serializers: { error: pino.stdSerializers.err },
    redact: ["authorization", "*.authorization", "headers.authorization"],
  };
  return pino(options, destination({ fd: 1, sync: true }));
}

const pinoTime = (): string => `,"time":"${new Date().toISOString()}"`;
