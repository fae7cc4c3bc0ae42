/**
 * Values on their way to Postgres, always in its text format.
 */
import type { Param } from "../../shared/model/api.ts";

/** Arrays become Postgres array literals, objects json. */
export function toWire(param: Param): string | null {
  if (param === null || typeof param === "string") return param;
  if (typeof param !== "object") return String(param);
  return Array.isArray(param) ? arrayLiteral(param) : JSON.stringify(param);
}

function arrayLiteral(items: readonly Param[]): string {
  return `{${items.map(arrayItem).join(",")}}`;
}

function arrayItem(item: Param): string {
  if (Array.isArray(item)) return arrayLiteral(item);
  const text = toWire(item);
  return text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`;
}
