/**
 * Checks what a peer sent before the core sees it: the closed alphabet of paxos/message.ts, numbers where numbers belong, and
 * that nobody proposes under another node's ballot. Hand-written, because it runs for every message and the shapes are few.
 */
import { ownerOf, type Ballot, type NodeId } from "../../shared/model/ids.ts";
import type { PeerMessage } from "../paxos/message.ts";

type Fields = Readonly<Record<string, unknown>>;
type Check = (fields: Fields) => boolean;

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null;
/** Ballots, slots, counters: all are non-negative safe integers. */
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isCountOrNull = (value: unknown): boolean => value === null || isCount(value);
const isValue = (value: unknown): boolean => value instanceof Uint8Array;
const isPage = (value: unknown, check: Check): boolean =>
  Array.isArray(value) && value.every((slot) => isFields(slot) && check(slot));

const isChosenSlot: Check = (m) => isCount(m["slot"]) && isValue(m["value"]);

const isReportedSlot: Check = (m) => {
  if (!isChosenSlot(m)) return false;
  return m["kind"] === "chosen" || (m["kind"] === "accepted" && isCount(m["ballot"]));
};

const CHECKS: { readonly [Kind in PeerMessage["kind"]]: Check } = {
  probe: (m) => isCount(m["attempt"]),
  probeReply: (m) =>
    isCount(m["attempt"]) && typeof m["granted"] === "boolean" && isCount(m["promised"]),
  phase1a: (m) => isCount(m["ballot"]) && isCount(m["fromSlot"]),
  phase1b: (m) =>
    isCount(m["ballot"]) &&
    isCount(m["fromSlot"]) &&
    isCountOrNull(m["nextSlot"]) &&
    isCount(m["truncatedUpTo"]) &&
    isPage(m["slots"], isReportedSlot),
  phase2a: (m) =>
    isCount(m["ballot"]) && isCount(m["slot"]) && isValue(m["value"]) && isCount(m["chosenUpTo"]),
  phase2b: (m) => isCount(m["ballot"]) && isCount(m["slot"]),
  nack: (m) => isCount(m["ballot"]) && isCount(m["promised"]),
  heartbeat: (m) => isCount(m["ballot"]) && isCount(m["beat"]) && isCount(m["chosenUpTo"]),
  heartbeatReply: (m) => isCount(m["ballot"]) && isCount(m["beat"]),
  learnRequest: (m) => isCount(m["fromSlot"]),
  learnReply: (m) => isPage(m["slots"], isChosenSlot) && isCount(m["chosenUpTo"]),
  snapshotOffer: (m) => isCount(m["slot"]) && isCount(m["chosenUpTo"]),
  snapshotRequest: (m) => isCount(m["slot"]) && isCount(m["chunk"]),
  snapshotChunk: (m) =>
    isCount(m["slot"]) &&
    isCount(m["chunk"]) &&
    isValue(m["bytes"]) &&
    isCountOrNull(m["wholeCrc"]),
  snapshotGone: (m) => isCount(m["slot"]),
};

/** Only the owner of a ballot speaks as its proposer. */
function speaksForItself(fields: Fields, kind: PeerMessage["kind"], from: NodeId): boolean {
  const isProposers = kind === "phase1a" || kind === "phase2a" || kind === "heartbeat";
  return !isProposers || ownerOf(fields["ballot"] as Ballot) === from;
}

/** Undefined when it is no message that this peer may send. */
export function parsePeerMessage(body: unknown, from: NodeId): PeerMessage | undefined {
  if (!isFields(body) || typeof body["kind"] !== "string") return undefined;
  if (!Object.hasOwn(CHECKS, body["kind"])) return undefined;
  const kind = body["kind"] as PeerMessage["kind"];
  if (!CHECKS[kind](body) || !speaksForItself(body, kind, from)) return undefined;
  return body as unknown as PeerMessage;
}
