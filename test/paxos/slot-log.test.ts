/** SlotLog against a plain Map. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { slot } from "../../shared/model/ids.ts";
import { InvariantViolation } from "../../shared/model/assert.ts";
import { SlotLog } from "../../coordinator/paxos/slot-log.ts";

interface Entry {
  readonly name: string;
}

const slots = fc.oneof(
  fc.integer({ min: 1, max: 100 }),
  fc.integer({ min: 1, max: 40_000 }),
  fc.constantFrom(31, 32, 33, 1023, 1024, 1025, 32_767, 32_768, 2 ** 40),
);

test("a slot log holds what a map would hold, whatever is set in whatever order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(slots, fc.string({ maxLength: 2 })), { maxLength: 60 }),
      (sets) => {
        let log = SlotLog.empty<Entry>();
        const map = new Map<number, Entry>();
        for (const [at, name] of sets) {
          const entry = { name };
          log = log.set(slot(at), entry);
          map.set(at, entry);
        }
        expect(log.highest).toBe(Math.max(0, ...map.keys()));
        for (const at of [...map.keys(), 1, 32, 1024, 99_999]) {
          expect(log.get(slot(at))).toBe(map.get(at));
        }
        // Some are so far apart that whoever looked at each slot between would not come to an end.
        const inOrder = [...map.keys()].sort((left, right) => left - right);
        for (const from of [1, inOrder[Math.floor(inOrder.length / 2)] ?? 1, 33]) {
          const expected = inOrder.filter((at) => at >= from);
          expect([...log.from(slot(from))].map(([at]) => at)).toEqual(expected);
        }
      },
    ),
  );
});

test("setting a slot leaves every older log as it was", () => {
  const empty = SlotLog.empty<Entry>();
  const logs = [empty];
  for (let at = 1; at <= 2_000; at += 1) {
    logs.push((logs.at(-1) ?? empty).set(slot(at), { name: `v${at}` }));
  }
  const changed = (logs.at(-1) ?? empty).set(slot(5), { name: "changed" });
  expect(changed.get(slot(5))?.name).toBe("changed");
  for (const [size, log] of logs.entries()) {
    expect(log.highest).toBe(size);
    expect(log.get(slot(size + 1))).toBeUndefined();
    if (size >= 5) expect(log.get(slot(5))?.name).toBe("v5");
  }
});

test("a truncated log holds what the map would hold above, whatever is cut and set in whatever order", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 3_000 })), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(steps, (wanted) => {
      let log = SlotLog.empty<Entry>();
      const map = new Map<number, Entry>();
      let truncatedUpTo = 0;
      for (const [isCut, at] of wanted) {
        if (isCut) {
          log = log.truncate(slot(at));
          truncatedUpTo = Math.max(truncatedUpTo, at);
          for (const key of map.keys()) if (key <= truncatedUpTo) map.delete(key);
        } else if (at > truncatedUpTo) {
          const entry = { name: `v${at}` };
          log = log.set(slot(at), entry);
          map.set(at, entry);
        }
      }
      expect(log.truncatedUpTo).toBe(truncatedUpTo);
      expect(log.highest).toBe(Math.max(truncatedUpTo, ...map.keys()));
      const inOrder = [...map].sort(([left], [right]) => left - right);
      expect([...log.from(slot(1))]).toEqual(inOrder);
      for (const [, at] of wanted) expect(log.get(slot(at))).toBe(map.get(at));
    }),
  );
});

test("truncating leaves every older log as it was, and nothing is set in what is gone", () => {
  const whole = [1, 40, 2_000].reduce(
    (log, at) => log.set(slot(at), { name: `v${at}` }),
    SlotLog.empty<Entry>(),
  );
  const cut = whole.truncate(slot(40));
  expect([...whole.from(slot(1))]).toHaveLength(3);
  expect([...cut.from(slot(1))].map(([at]) => at)).toEqual([2_000]);
  expect(() => cut.set(slot(40), { name: "" })).toThrow(InvariantViolation);
});

/** A weak reference holds until the turn ends that made or read it. */
const turnsEnd = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

test("what is truncated is released", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const refs: WeakRef<Entry>[] = [];
  const filled = (): SlotLog<Entry> => {
    let log = SlotLog.empty<Entry>();
    for (let at = 1; at <= 5_000; at += 1) {
      const entry = { name: `v${at}` };
      refs.push(new WeakRef(entry));
      log = log.set(slot(at), entry);
    }
    return log;
  };
  const log = filled().truncate(slot(4_000));
  await turnsEnd();
  collect();
  const alive = refs.flatMap((ref, index) => (ref.deref() === undefined ? [] : [index + 1]));
  expect(log.get(slot(4_001))).toBeDefined();
  expect([alive[0], alive.length]).toEqual([4_001, 1_000]);
});

test("slots count from 1", () => {
  expect(() => SlotLog.empty<Entry>().set(slot(0), { name: "" })).toThrow(InvariantViolation);
});
