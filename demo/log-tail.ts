/** The last lines of a process' log, for the error that tells that it did not start. */
import { existsSync, readFileSync } from "node:fs";

const MAX_LINES = 20;

/** `fromByte`: what earlier runs wrote before it is left out. */
export function logTail(file: string, fromByte = 0): string {
  if (!existsSync(file)) return "(no log was written)";
  const text = readFileSync(file).subarray(fromByte).toString("utf8").trimEnd();
  return text === "" ? "(the log is empty)" : text.split("\n").slice(-MAX_LINES).join("\n");
}
