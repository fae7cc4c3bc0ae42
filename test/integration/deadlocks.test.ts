/** Real coordinators, participants and Postgres; waits between shards that no Postgres can see. */
import pg from "pg";
import { runContended } from "../../bench/deadlocks/contended.ts";
import { Gates, passGate } from "../../bench/deadlocks/gates.ts";
import { induceDeadlock, induceMany } from "../../bench/deadlocks/induced.ts";
import {
  describeContended,
  describeDetection,
  falseVictims,
} from "../../bench/deadlocks/report.ts";
import {
  type Answer,
  type Kind,
  openRows,
  take,
  transact,
} from "../../bench/deadlocks/transactions.ts";
import { startWholeCluster, type WholeCluster } from "../support/whole-cluster.ts";

const SHARDS = ["s1", "s2", "s3"];
const LONG_MS = 20_000;

const figures: string[] = [];
let cluster: WholeCluster;

// The server of this file outlives what is begun in here.
describe("a whole cluster", () => {
  beforeAll(async () => {
    cluster = await startWholeCluster(SHARDS);
    await openRows(cluster.databases, ["a", "b", "c"]);
  }, 120_000);

  afterAll(async () => {
    await cluster.stop();
    process.stdout.write(`\n${figures.join("\n")}\n`);
  });

  test("deadlocks over two and three shards cost one transaction each, and end by being found", async () => {
    const detection = await induceMany(cluster.url, cluster.databases, 24);
    figures.push(describeDetection(detection));
    expect(detection.others).toEqual(new Map());
    // How soon is for `npm run deadlocks` to show; what ends otherwise waits for much longer.
    expect(detection.all.maxMs).toBeLessThan(LONG_MS);
  }, 60_000);

  test("of three in a circle over three shards one is aborted, and the others commit", async () => {
    const { codes } = await induceDeadlock(cluster.url, cluster.databases, "a");
    expect(codes).toEqual(["deadlock"]);
  });

  testMoreCircles();

  test("a transaction of one shard in between belongs to the circle, and is not the one to give way", async () => {
    const { url } = cluster;
    const crowds: readonly Crowd[] = [
      ["s1", "a"],
      ["s1", "b"],
      ["s2", "a"],
    ];
    // On s1 the first holds a, the one-shard transaction waits for it and holds b, for which the last one waits.
    const ended = await behindGates(crowds, () => [
      transact(url, [take("s1", "a"), passGate("s2", "a"), take("s2", "a")], LONG_MS),
      transact(url, [take("s1", "b"), passGate("s1", "a"), take("s1", "a")], LONG_MS),
      transact(url, [take("s2", "a"), passGate("s1", "b"), take("s1", "b")], LONG_MS),
    ]);
    const codes = (await ended()).map(({ code }) => code);
    expect(codes[1]).toBe("committed");
    expect(codes.filter((code) => code === "deadlock")).toHaveLength(1);
  });

  testForeignLink();

  test("many waits, timeouts and failures without a circle make no victim", async () => {
    const contended = await runContended(cluster.url, cluster.databases, 24, 6_000);
    figures.push(describeContended(contended));
    expect(falseVictims(contended)).toBe(0);
    for (const answers of [contended.oneShot, contended.interactive]) {
      expect(answers.get("committed")).toBeGreaterThan(10);
    }
    expect([...contended.oneShot.keys()].some((code) => code.endsWith("timeout"))).toBe(true);
  }, 60_000);
});

/** A row that somebody has taken while somebody else waits at its gate. */
type Crowd = readonly [shard: string, row: string];

/** Begins them, and lets them pass when there is a crowd at each of these gates. */
async function behindGates(
  crowds: readonly Crowd[],
  begin: () => readonly Promise<Answer>[],
): Promise<() => Promise<readonly Answer[]>> {
  const gates = await Gates.open(cluster.databases);
  for (const [shard, row] of crowds) await gates.shut([shard], row);
  const all = Promise.all(begin());
  const given = AbortSignal.timeout(LONG_MS);
  for (const [shard, row] of crowds) await gates.awaitCrowd([shard], row, given);
  for (const [shard, row] of crowds) await gates.lift([shard], row);
  await gates.close();
  return () => all;
}

function testMoreCircles(): void {
  test.each<[string, readonly Kind[]]>([
    ["of interactive transactions", ["interactive"]],
    ["of interactive ones and one in one request", ["interactive", "oneShot"]],
  ])(
    "of a circle %s one is aborted, and the others commit, long before any time limit",
    async (_, kinds) => {
      const { codes, detectedAfterMs } = await induceDeadlock(
        cluster.url,
        cluster.databases,
        "a",
        kinds,
      );
      expect(codes).toEqual(["deadlock"]);
      expect(detectedAfterMs).toBeLessThan(LONG_MS / 10);
    },
  );

  test("two circles at once lose one transaction each", async () => {
    const circles = await Promise.all([
      induceDeadlock(cluster.url, cluster.databases.slice(0, 2), "a"),
      induceDeadlock(cluster.url, cluster.databases.slice(1), "b"),
    ]);
    expect(circles.map(({ codes }) => codes)).toEqual([["deadlock"], ["deadlock"]]);
  });
}

function testForeignLink(): void {
  test("a session that is not Synod's may be a link of the circle", async () => {
    const { url, databases } = cluster;
    const foreign = new pg.Client({ connectionString: databases[0]!.url });
    await foreign.connect();
    await foreign.query("begin");
    await foreign.query("update deadlock_rows set value = 0 where name = 'b'");
    const crowds: readonly Crowd[] = [
      ["s1", "a"],
      ["s1", "b"],
      ["s2", "a"],
    ];
    const ended = await behindGates(crowds, () => [
      transact(
        url,
        [take("s1", "a"), passGate("s1", "a"), passGate("s2", "a"), take("s2", "a")],
        LONG_MS,
      ),
      transact(url, [take("s2", "a"), passGate("s1", "b"), take("s1", "b")], LONG_MS),
    ]);
    const waiting = foreign.query("update deadlock_rows set value = 0 where name = 'a'");
    await waiting;
    await foreign.query("commit");
    expect((await ended()).map(({ code }) => code).sort()).toEqual(["committed", "deadlock"]);
    await foreign.end();
  });
}
