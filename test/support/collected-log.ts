/** A logger that keeps what it is told. */
import type { Logger } from "../../shared/model/ports.ts";

export interface CollectedLog extends Logger {
  readonly lines: string[];
}

export function collectedLog(): CollectedLog {
  const lines: string[] = [];
  const at =
    (level: string) =>
    (_fields: object, message: string): void => {
      lines.push(`${level}: ${message}`);
    };
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
