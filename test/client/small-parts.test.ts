import { Backoff, BACKOFF, Deadline } from "../../client/backoff.ts";
import { sql, type SqlValue } from "../../client/sdk.ts";

test("the sql tag makes numbered parameters of what is filled in", () => {
  const statement = sql`update a set b = b - ${10n} where id = ${"alice"} and b >= ${10n}`;
  expect({ ...statement }).toMatchObject({
    sql: "update a set b = b - $1 where id = $2 and b >= $3",
    params: ["10", "alice", "10"],
  });
  expect({ ...sql`select 1` }).toMatchObject({ sql: "select 1", params: [] });
});

test("values travel without loss", () => {
  const at = new Date("2026-11-25T01:02:03.004Z");
  const { params } =
    sql`${2n ** 63n} ${at} ${null} ${true} ${1.5} ${["a", [1n]]} ${{ a: { b: at } }}`;
  expect(params).toEqual([
    "9223372036854775808",
    "2026-11-25T01:02:03.004Z",
    null,
    true,
    1.5,
    ["a", ["1"]],
    { a: { b: "2026-11-25T01:02:03.004Z" } },
  ]);
});

const nested = Array.from({ length: 17 }).reduce<SqlValue>((inner) => [inner], "deep");

test.each([
  [2 ** 53, /\$1 is an integer beyond 2\^53/],
  [Number.NaN, /\$1 is not a finite number/],
  [[1, [Number.POSITIVE_INFINITY]], /\$1\[1\]\[0\] is not a finite number/],
  [undefined, /\$1 is undefined/],
  [{ a: Symbol("no") }, /\$1\.a is symbol/],
  [sql`select 1`, /\$1 is a statement, not a value/],
  [new Map(), /\$1 is an object of a class/],
  [nested, /nested deeper than 16/],
])("a value that cannot travel is refused with its place: %p", (value, message) => {
  expect(() => sql`select ${value as SqlValue}`).toThrow(message);
});

test("pauses lie between the lowest and three times the last, and never above the highest", () => {
  const high = new Backoff(() => 1);
  expect(Array.from({ length: 6 }, () => high.nextMs())).toEqual([
    150, 450, 1_350, 2_000, 2_000, 2_000,
  ]);
  const low = new Backoff(() => 0);
  expect(Array.from({ length: 3 }, () => low.nextMs())).toEqual([50, 50, 50]);
  const drawn = new Backoff();
  for (let turn = 0; turn < 1_000; turn += 1) {
    const pauseMs = drawn.nextMs();
    expect(pauseMs).toBeGreaterThanOrEqual(BACKOFF.lowestMs);
    expect(pauseMs).toBeLessThanOrEqual(BACKOFF.highestMs);
  }
});

test("a pause that the deadline would cut short is not begun", async () => {
  const startedMs = performance.now();
  expect(await new Backoff(() => 0).pause(new Deadline(40))).toBe(false);
  expect(performance.now() - startedMs).toBeLessThan(30);
  expect(await new Backoff(() => 0).pause(new Deadline(1_000))).toBe(true);
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(49);
});
