import fc from "fast-check";
import {
  findDeadlocks,
  lastingWaits,
  type ShardWait,
} from "../../coordinator/transactions/deadlocks/wait-graph.ts";
import type { CarrierId, ShardId } from "../../shared/model/ids.ts";
import { carrier } from "./support/commands.ts";

/** "2>1@s1": the second carrier waits for the first on s1. The higher, the younger. */
function waitsIn(text: string): ShardWait[] {
  return text.split(/\s+/).flatMap((word) => {
    const match = /^(\d+)>(\d+)@(\w+)$/.exec(word);
    if (match === null) return [];
    const [, waiter, holder, shard] = match;
    const evidence = `since ${word}`;
    return [{ waiter: number(waiter), holder: number(holder), shard: shard as ShardId, evidence }];
  });
}

const number = (text: string | undefined): CarrierId => carrier(1, Number(text));
const anybody = (): boolean => true;
const victims = (
  waits: readonly ShardWait[],
  mayYield: (id: CarrierId) => boolean = anybody,
): readonly CarrierId[] => findDeadlocks(waits, mayYield).map(({ victim }) => victim);

test.each([
  ["nobody waits", "", []],
  ["a chain over shards", "3>2@s1 2>1@s2", []],
  ["two for each other", "2>1@s1 1>2@s2", [2]],
  ["two for each other on one shard, which is Postgres' to break", "2>1@s1 1>2@s1", []],
  ["three on three shards", "1>2@s1 2>3@s2 3>1@s3", [3]],
  ["three on two shards", "1>2@s1 2>3@s1 3>1@s2", [3]],
  ["the younger outside of the circle stays", "2>1@s1 1>2@s2 4>2@s1 3>1@s2", [2]],
  ["two circles at once", "2>1@s1 1>2@s2 4>3@s2 3>4@s3", [4, 2]],
  ["two circles that share their youngest", "3>1@s1 1>3@s2 3>2@s1 2>3@s2", [3]],
  ["two circles that share their oldest", "1>2@s1 2>1@s2 1>3@s1 3>1@s2", [3, 2]],
  ["two circles on one shard each, through one carrier", "1>2@s1 2>1@s1 1>3@s2 3>1@s2", []],
  ["the long way round when the short one stays on a shard", "1>2@s1 2>1@s1 2>3@s2 3>1@s2", [3]],
])("%s: %s", (_, text, expected) => {
  expect(victims(waitsIn(text))).toEqual(expected.map((each) => carrier(1, each)));
});

test("who may not yield is passed over: the next youngest does", () => {
  const waits = waitsIn("1>3@s1 3>2@s1 2>1@s2");
  expect(victims(waits, (id) => id !== carrier(1, 3))).toEqual([carrier(1, 2)]);
});

test("a circle that leaves a shard through one that may not yield any more is none", () => {
  const waits = waitsIn("2>1@s1 1>2@s2");
  expect(victims(waits, (id) => id !== carrier(1, 1))).toEqual([]);
});

test("carriers of a later leader are younger, whatever their sequence", () => {
  const [old, young] = [carrier(1, 9), carrier(2, 1)];
  const waits = [
    { waiter: old, holder: young, shard: "s1" as ShardId, evidence: "" },
    { waiter: young, holder: old, shard: "s2" as ShardId, evidence: "" },
  ];
  expect(victims(waits)).toEqual([young]);
});

test("the circle is told from the victim on, with the shard of each wait", () => {
  const [deadlock] = findDeadlocks(waitsIn("1>2@s1 2>3@s2 3>1@s3 3>4@s1"), anybody);
  expect(deadlock?.cycle.map(({ waiter, shard }) => [waiter, shard])).toEqual([
    [carrier(1, 3), "s3"],
    [carrier(1, 1), "s1"],
    [carrier(1, 2), "s2"],
  ]);
});

test("only the very same wait has lasted", () => {
  const before = waitsIn("2>1@s1 1>2@s2 3>1@s1");
  const after = before.map((wait, index) => (index === 1 ? { ...wait, evidence: "new" } : wait));
  after.push(...waitsIn("3>2@s2"));
  expect(lastingWaits(before, after)).toEqual(waitsIn("2>1@s1 3>1@s1"));
});

const SHARDS = ["s1", "s2", "s3"];
const CARRIERS = 6;

/** Some carriers run on one shard alone, as transactions of one shard do. */
const graphs = fc
  .record({
    homes: fc.array(fc.option(fc.constantFrom(...SHARDS)), {
      minLength: CARRIERS,
      maxLength: CARRIERS,
    }),
    waits: fc.array(
      fc.tuple(fc.nat(CARRIERS - 1), fc.nat(CARRIERS - 1), fc.constantFrom(...SHARDS)),
      { maxLength: 14 },
    ),
  })
  .map(({ homes, waits }) => {
    const runsOn = (index: number, shard: string): boolean => (homes[index] ?? shard) === shard;
    const possible = waits.filter(
      ([waiter, holder, shard]) =>
        waiter !== holder && runsOn(waiter, shard) && runsOn(holder, shard),
    );
    return {
      spans: (id: CarrierId) => homes.some((home, i) => home === null && carrier(1, i + 1) === id),
      waits: waitsIn(possible.map(([w, h, shard]) => `${w + 1}>${h + 1}@${shard}`).join(" ")),
    };
  });

/** All simple circles, by trying every way: an oracle for small graphs. */
function circles(waits: readonly ShardWait[]): readonly (readonly ShardWait[])[] {
  const found: ShardWait[][] = [];
  const extend = (way: readonly ShardWait[]): void => {
    const last = way.at(-1);
    for (const wait of waits.filter(({ waiter }) => waiter === last?.holder)) {
      const place = way.findIndex(({ waiter }) => waiter === wait.holder);
      if (place === 0) found.push([...way, wait]);
      else if (place < 0 && wait.holder !== wait.waiter) extend([...way, wait]);
    }
  };
  for (const wait of waits) extend([wait]);
  return found;
}

const shardsIn = (circle: readonly ShardWait[]): number =>
  new Set(circle.map(({ shard }) => shard)).size;

test("property: every circle told is one, over several shards, with its youngest as the victim", () => {
  fc.assert(
    fc.property(graphs, ({ waits, spans }) => {
      const isOnOneShard = circles(waits).some((circle) => shardsIn(circle) === 1);
      for (const { victim, cycle } of findDeadlocks(waits, spans)) {
        expect(cycle.every((wait) => waits.includes(wait))).toBe(true);
        cycle.forEach((wait, place) => {
          expect(wait.holder).toBe(cycle[(place + 1) % cycle.length]?.waiter);
        });
        const waiters = cycle.map(({ waiter }) => waiter);
        expect(new Set(waiters).size).toBe(cycle.length);
        expect(shardsIn(cycle)).toBeGreaterThan(1);
        expect(waiters).toContain(victim);
        if (!isOnOneShard) expect(waiters.filter(spans).sort().at(-1)).toBe(victim);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("property: without the victims no circle over several shards is left", () => {
  fc.assert(
    fc.property(graphs, ({ waits, spans }) => {
      fc.pre(circles(waits).every((circle) => shardsIn(circle) > 1));
      const gone = new Set(victims(waits, spans));
      expect(circles(waits.filter(({ waiter }) => !gone.has(waiter)))).toEqual([]);
      expect(gone.size === 0).toBe(circles(waits).length === 0);
    }),
    { numRuns: 2_000 },
  );
});
