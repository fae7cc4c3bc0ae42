/** Places on shards: all of them or none, in order, bounded. */
import type { ShardId } from "../../shared/model/ids.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import { SynodError } from "../../shared/model/errors.ts";
import {
  Admission,
  ADMISSION_LIMITS,
  type ReleasePlaces,
} from "../../coordinator/transactions/admission.ts";
import { ManualClock } from "./support/manual-clock.ts";

const shards = (...names: readonly string[]): readonly ShardId[] => names as readonly ShardId[];

function admission(capacity: number): {
  readonly admission: Admission;
  readonly clock: ManualClock;
} {
  const clock = new ManualClock();
  return { admission: new Admission(() => capacity, clock), clock };
}

function taken(places: ReleasePlaces | undefined): ReleasePlaces {
  if (places === undefined) throw new Error("there was no place");
  return places;
}

/** Enters and remembers whether it was let in. */
function waiting(
  gate: Admission,
  names: readonly string[],
): { release?: ReleasePlaces; error?: unknown } {
  const state: { release?: ReleasePlaces; error?: unknown } = {};
  gate.enter(shards(...names), 60_000).then(
    (release) => {
      state.release = release;
    },
    (error: unknown) => {
      state.error = error;
    },
  );
  return state;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("no more branches are open on a shard than it announced, and a released place is free again", () => {
  const { admission: gate } = admission(2);
  const first = taken(gate.tryEnter(shards("s1")));
  taken(gate.tryEnter(shards("s1", "s2")));
  expect(gate.tryEnter(shards("s1"))).toBeUndefined();
  expect(gate.tryEnter(shards("s2"))).toBeDefined();
  first();
  expect(gate.tryEnter(shards("s1"))).toBeDefined();
});

test("a transaction that does not fit on all its shards takes a place on none", () => {
  const { admission: gate } = admission(1);
  const release = taken(gate.tryEnter(shards("s1")));
  expect(gate.tryEnter(shards("s1", "s2"))).toBeUndefined();
  taken(gate.tryEnter(shards("s2")))();
  release();
  expect(gate.tryEnter(shards("s1", "s2"))).toBeDefined();
});

test("a place is given back once", () => {
  const { admission: gate } = admission(1);
  const release = taken(gate.tryEnter(shards("s1")));
  release();
  expect(release).toThrow(InvariantViolation);
});

test("who waits gets its places in order of arrival, and one that needs other shards may overtake", async () => {
  const { admission: gate } = admission(1);
  const release = taken(gate.tryEnter(shards("s1")));
  const first = waiting(gate, ["s1", "s2"]);
  const second = waiting(gate, ["s1"]);
  const other = waiting(gate, ["s2"]);
  await settled();
  expect([first.release, second.release]).toEqual([undefined, undefined]);
  taken(other.release)();
  release();
  await settled();
  expect(second.release).toBeUndefined();
  taken(first.release)();
  await settled();
  expect(second.release).toBeDefined();
});

test("a shard that is not connected has no place", () => {
  const { admission: gate } = admission(0);
  expect(gate.tryEnter(shards("s1"))).toBeUndefined();
});

test("who waited too long is refused as overloaded, and leaves no timer and no claim behind", async () => {
  const { admission: gate, clock } = admission(1);
  const release = taken(gate.tryEnter(shards("s1")));
  const waiter = waiting(gate, ["s1"]);
  clock.pass(ADMISSION_LIMITS.maxWaitMs - 1);
  await settled();
  expect(waiter.error).toBeUndefined();
  clock.pass(1);
  await settled();
  expect(waiter.error).toBeInstanceOf(SynodError);
  expect(waiter.error).toMatchObject({ code: "overloaded", outcome: "not_started" });
  release();
  await settled();
  expect(waiter.release).toBeUndefined();
  expect(gate.tryEnter(shards("s1"))).toBeDefined();
  expect(clock.pending).toBe(0);
});

test("the queue is bounded: beyond it a transaction is refused at once", async () => {
  const { admission: gate, clock } = admission(1);
  taken(gate.tryEnter(shards("s1")));
  const waiters = Array.from({ length: ADMISSION_LIMITS.maxWaiting }, () => waiting(gate, ["s1"]));
  const refused = waiting(gate, ["s1"]);
  await settled();
  expect(refused.error).toMatchObject({ code: "overloaded" });
  expect(waiters.filter(({ error }) => error !== undefined)).toEqual([]);
  clock.pass(ADMISSION_LIMITS.maxWaitMs);
  await settled();
  expect(waiters.filter(({ error }) => error === undefined)).toEqual([]);
});
