/**
 * Checks what a peer sent before the core sees it: the closed alphabet of paxos/message.ts, numbers where numbers belong.
 * Hand-written, because it runs for every message and the shapes are few.
 */
import type { PaxosMessage, ReportedSlot } from "../paxos/message.ts";

type Fields = Readonly<Record<string, unknown>>;

const isNumber = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isBytes = (value: unknown): boolean => value instanceof Uint8Array;
const isSlots = (value: unknown): boolean =>
  Array.isArray(value) && value.every((slot) => isReportedSlot(slot as Fields));

function isReportedSlot(slot: Fields): boolean {
  if (!isNumber(slot["slot"]) || !isBytes(slot["value"])) return false;
  const { kind } = slot as unknown as ReportedSlot;
  return kind === "accepted" ? isNumber(slot["ballot"]) : true;
}

const CHECKS: {
  readonly [Kind in PaxosMessage["kind"]]: (fields: Fields) => boolean;
} = {
  probe: (m) => isNumber(m["attempt"]),
  probeReply: (m) =>
    isNumber(m["attempt"]) && typeof m["granted"] === "boolean" && isNumber(m["promised"]),
  phase1a: (m) => isNumber(m["ballot"]) && isNumber(m["fromSlot"]),
  phase1b: (m) =>
    isNumber(m["ballot"]) &&
    isNumber(m["fromSlot"]) &&
    (m["nextSlot"] === null || isNumber(m["nextSlot"])) &&
    isSlots(m["slots"]),
  phase2a: (m) =>
    isNumber(m["ballot"]) &&
    isNumber(m["slot"]) &&
    isBytes(m["value"]) &&
    isNumber(m["chosenUpTo"]),
  phase2b: (m) => isNumber(m["ballot"]) && isNumber(m["slot"]),
  nack: (m) => isNumber(m["ballot"]) && isNumber(m["promised"]),
  heartbeat: (m) => isNumber(m["ballot"]) && isNumber(m["beat"]) && isNumber(m["chosenUpTo"]),
  heartbeatReply: (m) => isNumber(m["ballot"]) && isNumber(m["beat"]),
  learnRequest: (m) => isNumber(m["fromSlot"]),
  learnReply: (m) => isSlots(m["slots"]) && isNumber(m["chosenUpTo"]),
};

/** Undefined when it is no message of the alphabet. */
export function parsePeerMessage(body: unknown): PaxosMessage | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const fields = body as Fields;
  const kind = fields["kind"];
  if (typeof kind !== "string" || !Object.hasOwn(CHECKS, kind)) return undefined;
  return CHECKS[kind as PaxosMessage["kind"]](fields) ? (body as PaxosMessage) : undefined;
}
