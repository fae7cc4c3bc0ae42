/** SlotLog against a plain Map. */
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
        const low = [...map.keys()]
          .filter((at) => at <= 40_000)
          .sort((left, right) => left - right);
        if (low.length === map.size) {
          const from = low[Math.floor(low.length / 2)] ?? 1;
          expect([...log.from(slot(from))].map(([at]) => at)).toEqual(
            low.filter((at) => at >= from),
          );
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

test("slots count from 1", () => {
  expect(() => SlotLog.empty<Entry>().set(slot(0), { name: "" })).toThrow(InvariantViolation);
});
