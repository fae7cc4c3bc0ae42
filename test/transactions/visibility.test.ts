/** Which snapshots agree on what committed. */
import fc from "fast-check";
import {
  lagsOf,
  parseSnapshot,
  sees,
  type CommittedCarrier,
} from "../../coordinator/transactions/visibility.ts";
import { shardId, type CarrierId, type GlobalId, type Xid } from "../../shared/model/ids.ts";

const [S1, S2, S3] = [shardId("s1"), shardId("s2"), shardId("s3")];

function carrier(name: string, xids: Readonly<Record<string, number>>): CommittedCarrier {
  const branches = Object.entries(xids).map(([shard, xid]) => {
    return { shard: shardId(shard), gid: `${name}-${shard}` as GlobalId, xid: String(xid) as Xid };
  });
  return { carrierId: name as CarrierId, branches };
}

test.each([
  ["100:100:", 99, true],
  ["100:100:", 100, false],
  ["100:105:101,103", 100, true],
  ["100:105:101,103", 101, false],
  ["100:105:101,103", 102, true],
  ["100:105:101,103", 103, false],
  ["100:105:101,103", 105, false],
  ["18446744073709551000:18446744073709551001:", 9, true],
])("snapshot %s has seen %d: %s", (text, xid, expected) => {
  expect(sees(parseSnapshot(text), String(xid) as Xid)).toBe(expected);
});

test("what is no snapshot is refused", () => {
  expect(() => parseSnapshot("100:")).toThrow(/snapshot/);
});

test("a transaction that all have seen, or none, is no lag", () => {
  const snapshots = new Map([
    [S1, parseSnapshot("10:10:")],
    [S2, parseSnapshot("20:20:")],
  ]);
  expect(lagsOf(snapshots, [carrier("both", { s1: 9, s2: 19 })])).toEqual([]);
  expect(lagsOf(snapshots, [carrier("none", { s1: 10, s2: 20 })])).toEqual([]);
});

test("a transaction that one has seen lags where it is not seen, and only there", () => {
  const snapshots = new Map([
    [S1, parseSnapshot("10:10:")],
    [S2, parseSnapshot("20:22:20")],
    [S3, parseSnapshot("30:30:")],
  ]);
  const half = carrier("half", { s1: 9, s2: 20, s3: 31 });
  expect(lagsOf(snapshots, [half])).toEqual([
    { shard: S2, carrierId: "half" },
    { shard: S3, carrierId: "half" },
  ]);
});

test("branches on shards that are not read say nothing", () => {
  const snapshots = new Map([[S1, parseSnapshot("10:10:")]]);
  expect(lagsOf(snapshots, [carrier("elsewhere", { s1: 9, s2: 20 })])).toEqual([]);
});

test("snapshots taken one after the other agree when nothing committed in between, and otherwise only if the lag is told", () => {
  const commits = fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { maxLength: 12 });
  fc.assert(
    fc.property(commits, fc.nat(20), fc.nat(20), (times, firstAt, secondAt) => {
      const carriers = times.map((_, index) =>
        carrier(`t${index}`, { s1: index + 1, s2: index + 1 }),
      );
      const taken = (at: number, of: 0 | 1): string => {
        const running = times.flatMap((time, index) => (time[of] <= at ? [] : [index + 1]));
        return `1:${times.length + 1}:${running.join(",")}`;
      };
      const snapshots = new Map([
        [S1, parseSnapshot(taken(firstAt, 0))],
        [S2, parseSnapshot(taken(secondAt, 1))],
      ]);
      const torn = times.flatMap(([one, other], index) =>
        one <= firstAt === other <= secondAt ? [] : [`t${index}`],
      );
      expect(lagsOf(snapshots, carriers).map(({ carrierId }) => carrierId)).toEqual(torn);
    }),
  );
});
