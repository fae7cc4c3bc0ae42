/**
 * Finds deadlocks between shards in a graph of who waits for whom.
 *
 * A transaction goes on only when all that it waits for have ended, so every cycle is a deadlock. Two kinds are left to
 * others: a cycle on a single shard is Postgres' own to find and to break. And where the cycle leaves a shard for another, it
 * passes through a transaction that runs on both; if that one may not yield any more (it has ended, or all of it is
 * prepared), then one of the waits around it is over or about to be, and the cycle with it.
 */
import type { CarrierId, ShardId } from "../../../shared/model/ids.ts";
import { carrierOrigin } from "../../../shared/model/ids.ts";
import type { BranchWait } from "../../../shared/model/protocol.ts";

export interface ShardWait extends BranchWait {
  readonly shard: ShardId;
}

export interface Deadlock {
  readonly victim: CarrierId;
  /** Each waits for the next, and the last for the first, which is the victim. */
  readonly cycle: readonly ShardWait[];
}

/**
 * The youngest first: each is the youngest that may yield in some cycle between shards, and without all of them no such
 * cycle is left.
 */
export function findDeadlocks(
  waits: readonly ShardWait[],
  mayYield: (carrierId: CarrierId) => boolean,
): readonly Deadlock[] {
  const byWaiter = new Map<CarrierId, ShardWait[]>();
  for (const wait of waits) {
    const known = byWaiter.get(wait.waiter);
    if (known === undefined) byWaiter.set(wait.waiter, [wait]);
    else known.push(wait);
  }
  const deadlocks: Deadlock[] = [];
  for (const carrierId of [...byWaiter.keys()].filter(mayYield).sort(youngestFirst)) {
    const cycle = cycleThrough(carrierId, byWaiter, mayYield);
    if (cycle === undefined) continue;
    deadlocks.push({ victim: carrierId, cycle });
    byWaiter.delete(carrierId);
  }
  return deadlocks;
}

/** What both say: waits that lasted from the first look to the second. */
export function lastingWaits(
  first: readonly ShardWait[],
  second: readonly ShardWait[],
): readonly ShardWait[] {
  const seen = new Set(first.map(nameOf));
  return second.filter((wait) => seen.has(nameOf(wait)));
}

function nameOf({ shard, waiter, holder, evidence }: ShardWait): string {
  return JSON.stringify([shard, waiter, holder, evidence]);
}

/** The later of two carriers of one leader has the higher sequence, and a later leader the higher ballot. */
function youngestFirst(one: CarrierId, other: CarrierId): number {
  const [a, b] = [carrierOrigin(one), carrierOrigin(other)];
  if (a === undefined || b === undefined) return 0;
  return b.ballot - a.ballot || b.sequence - a.sequence;
}

interface Step {
  readonly wait: ShardWait;
  readonly before: Step | undefined;
  /** The way so far has led over more than one shard. */
  readonly changesShard: boolean;
}

/** The shortest over more than one shard; breadth first, because depth first would take exponential time. */
function cycleThrough(
  start: CarrierId,
  byWaiter: ReadonlyMap<CarrierId, readonly ShardWait[]>,
  mayYield: (carrierId: CarrierId) => boolean,
): readonly ShardWait[] | undefined {
  const seen = new Set<string>();
  const steps: Step[] = [];
  const go = (wait: ShardWait, before: Step | undefined, changesShard: boolean): void => {
    const place = `${wait.holder} ${wait.shard} ${String(changesShard)}`;
    if (seen.has(place)) return;
    seen.add(place);
    steps.push({ wait, before, changesShard });
  };
  for (const wait of byWaiter.get(start) ?? []) go(wait, undefined, false);
  // Grows while it is walked.
  for (const step of steps) {
    const { holder, shard } = step.wait;
    if (holder === start) {
      if (step.changesShard) return withoutLoops(wayTo(step));
      continue;
    }
    for (const wait of byWaiter.get(holder) ?? []) {
      const changes = wait.shard !== shard;
      if (!changes || mayYield(holder)) go(wait, step, step.changesShard || changes);
    }
  }
  return undefined;
}

function wayTo(last: Step): readonly ShardWait[] {
  const way: ShardWait[] = [];
  for (let step: Step | undefined = last; step !== undefined; step = step.before) {
    way.push(step.wait);
  }
  return way.reverse();
}

/** A shortest way that meets somebody twice only strings together cycles which lie on one shard each. */
function withoutLoops(way: readonly ShardWait[]): readonly ShardWait[] | undefined {
  return new Set(way.map(({ waiter }) => waiter)).size === way.length ? way : undefined;
}
