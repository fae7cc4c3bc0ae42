/**
 * Whether snapshots of several shards, taken at different moments, agree on every transaction: each is in all of them that it
 * touches, or in none. A snapshot is Postgres' text `xmin:xmax:running,…`: seen is what ended before it was taken, so
 * every xid below xmin, and below xmax every one that is not listed as running.
 */
import { assert } from "../../shared/model/assert.ts";
import type { CarrierId, ShardId, Xid } from "../../shared/model/ids.ts";
import type { DecidedBranch } from "./command.ts";

export interface Snapshot {
  readonly xmin: bigint;
  readonly xmax: bigint;
  readonly running: ReadonlySet<string>;
}

const SNAPSHOT_PATTERN = /^(\d+):(\d+):([\d,]*)$/;

export function parseSnapshot(text: string): Snapshot {
  const match = SNAPSHOT_PATTERN.exec(text);
  assert(match !== null, "a participant's reply holds a snapshot");
  const [, xmin = "", xmax = "", running = ""] = match;
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), running: new Set(running.split(",")) };
}

export function sees({ xmin, xmax, running }: Snapshot, xid: Xid): boolean {
  const number = BigInt(xid);
  return number < xmin || (number < xmax && !running.has(xid));
}

export interface CommittedCarrier {
  readonly carrierId: CarrierId;
  readonly branches: readonly DecidedBranch[];
}

/** A branch that its shard's snapshot lacks, although another one has its transaction. */
export interface Lag {
  readonly shard: ShardId;
  readonly carrierId: CarrierId;
}

/** Empty when the snapshots agree on all of these, which have committed. */
export function lagsOf(
  snapshots: ReadonlyMap<ShardId, Snapshot>,
  committed: Iterable<CommittedCarrier>,
): readonly Lag[] {
  const lags: Lag[] = [];
  for (const { carrierId, branches } of committed) {
    const lacking: Lag[] = [];
    let isSeen = false;
    for (const { shard, xid } of branches) {
      const snapshot = snapshots.get(shard);
      if (snapshot === undefined) continue;
      if (sees(snapshot, xid)) isSeen = true;
      else lacking.push({ shard, carrierId });
    }
    if (isSeen) lags.push(...lacking);
  }
  return lags;
}
