/**
 * What a leader tells everybody with its heartbeats: how much each node holds for certain, by what it has acknowledged to the
 * leader. A vote reaches the proposer alone; so that others recognise a voter that has lost it when the proposer is gone, they
 * must have heard of it. What was acknowledged since the last heartbeat that arrived is known to the leader alone.
 */
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import type { Position } from "./position.ts";

type Entry = readonly [node: NodeId, promised: Ballot, slot: Slot];

export interface Acknowledgements {
  readonly kind: "acknowledged";
  readonly entries: readonly Entry[];
}

export function acknowledgementsOf(positions: ReadonlyMap<NodeId, Position>): Acknowledgements {
  const entries = [...positions].map(([node, { promised, slot }]): Entry => [node, promised, slot]);
  return { kind: "acknowledged", entries };
}

/** Undefined for anything else. */
export function parseAcknowledgements(body: unknown): ReadonlyMap<NodeId, Position> | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const { kind, entries } = body as Readonly<Record<string, unknown>>;
  if (kind !== "acknowledged" || !Array.isArray(entries) || !entries.every(isEntry)) {
    return undefined;
  }
  return new Map(entries.map(([node, promised, slot]) => [node, { promised, slot }]));
}

function isEntry(entry: unknown): entry is Entry {
  return Array.isArray(entry) && entry.length === 3 && entry.every(isCount);
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
