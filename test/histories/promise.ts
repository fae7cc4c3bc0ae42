/**
 * What a history is held to. `promised` is what the README promises each kind of read, and the only one that Synod must
 * always pass; the others hold every transaction to one level, whatever its reads were.
 *
 * Why `promised` may forbid circles at all: a write lock is held until the outcome is decided and has reached the shard, and nobody
 * is shown anything that is not decided. So whoever wrote behind, read, or locked what another had written was decided later than
 * that one, on whatever shards it happened: writeWrite, writeRead and the readWrite of a locking read never run in circles
 * (scope `heldByLocks`), nor with real time. One snapshot of one shard cannot miss what came there before something that it shows (scope
 * `shardSnapshots`). Plain reads of two shards, or two plain reads, may show anything that was committed.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type { Anomaly } from "./list-append/anomaly.ts";

export const LEVELS = [
  "promised",
  "readCommitted",
  "atomicVisibility",
  "serializable",
  "strictSerializable",
] as const;
export type Level = (typeof LEVELS)[number];

export function usesRealTime(level: Level): boolean {
  return level === "promised" || level === "strictSerializable";
}

export function isForbidden(level: Level, anomaly: Anomaly): boolean {
  switch (anomaly.kind) {
    case "incompatible order":
    case "duplicate append":
    case "unknown value":
    case "internal":
    case "G1a":
    case "G1b":
      return true;
    case "stale read":
      return usesRealTime(level);
    case "fractured read":
      return forbidsFracture(level, anomaly);
    case "lost update":
      return level === "promised" ? anomaly.view !== "statement" : isSerial(level);
    case "cycle":
      return forbidsCycle(level, anomaly);
    default:
      return unreachable(anomaly);
  }
}

function isSerial(level: Level): boolean {
  return level === "serializable" || level === "strictSerializable";
}

function forbidsFracture(level: Level, anomaly: Anomaly & { kind: "fractured read" }): boolean {
  if (level !== "promised") return level !== "readCommitted";
  const [seen, missed] = anomaly.views;
  if (missed === "locking") return true;
  return anomaly.isOneShard ? missed !== "statement" : seen === "atomic" && missed === "atomic";
}

function forbidsCycle(level: Level, { name, scope }: Anomaly & { kind: "cycle" }): boolean {
  if (name === "G0" || name === "G1c") return true;
  if (level !== "promised") return isSerial(level);
  switch (scope.kind) {
    case "heldByLocks":
      return true;
    case "shardSnapshots":
      return name === "G-single";
    case "everything":
      return false;
    default:
      return unreachable(scope);
  }
}
