/**
 * Judges a list-append history in the way of Elle (Kingsbury and Alvaro, 2020): appends are unique and a read shows all appends
 * so far, so reads betray the order of writes, and the order betrays circles.
 */
import type { Transaction } from "../history/transactions.ts";
import { isForbidden, usesRealTime, type Level } from "../promise.ts";
import { AnomalyLog, type AnomalyCount, type JudgedAnomaly } from "./anomaly-log.ts";
import type { Scope } from "./anomaly.ts";
import { findCycles } from "./cycles.ts";
import { tellFractures } from "./fractures.ts";
import { buildGraph, type Edge, type Graph } from "./graph.ts";
import { collectKeys, type Key } from "./keys.ts";
import { orderVersions } from "./versions.ts";

export interface Verdict {
  /** Nothing forbidden was found, and everything was looked at. */
  readonly holds: boolean;
  readonly isComplete: boolean;
  readonly counts: readonly AnomalyCount[];
  readonly anomalies: readonly JudgedAnomaly[];
  readonly keys: readonly Key[];
  readonly dependencies: number;
}

export function checkListAppend(transactions: readonly Transaction[], level: Level): Verdict {
  const log = new AnomalyLog((anomaly) => isForbidden(level, anomaly));
  const keys = collectKeys(transactions, log);
  const all = keys.map((key) => orderVersions(key, transactions, log));
  tellFractures(all, log);
  const graph = buildGraph(transactions, all, usesRealTime(level));
  const scopes = level === "promised" ? promisedScopes(keys) : [{ kind: "everything" } as const];
  let isComplete = true;
  for (const scope of scopes) {
    const edges = graph.edges.filter((edge) => isInScope(edge, scope, keys, graph));
    const search = findCycles({ ...graph, edges });
    if (scope.kind !== "everything" || level !== "promised") isComplete &&= search.isComplete;
    for (const { name, steps } of search.cycles) log.add({ kind: "cycle", name, scope, steps });
  }
  const counts = log.counts();
  const holds = isComplete && counts.every(({ forbidden }) => forbidden === 0);
  const dependencies = graph.edges.length;
  return { holds, isComplete, counts, anomalies: log.kept(), keys, dependencies };
}

function promisedScopes(keys: readonly Key[]): readonly Scope[] {
  const shards = new Set(keys.map(({ shard }) => shard));
  return [
    { kind: "heldByLocks" },
    ...[...shards].map((shard) => ({ kind: "shardSnapshots", shard }) as const),
    { kind: "everything" },
  ];
}

function isInScope(
  { why, to }: Edge,
  scope: Scope,
  keys: readonly Key[],
  { transactions }: Graph,
): boolean {
  if (scope.kind === "everything") return true;
  if (why === undefined || why.kind === "realTime") {
    return scope.kind === "heldByLocks" || (why === undefined && to < transactions);
  }
  if (scope.kind === "shardSnapshots") {
    const isPlain = why.kind === "readWrite" && why.view === "statement";
    return keys[why.key]?.shard === scope.shard && !isPlain;
  }
  return why.kind !== "readWrite" || why.view === "locking";
}
