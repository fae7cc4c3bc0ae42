/** Real coordinators, participants and Postgres; waits between shards that no Postgres can see. */
import pg from "pg";
import { runContended } from "../../bench/deadlocks/contended.ts";
import { induceDeadlock, induceMany } from "../../bench/deadlocks/induced.ts";
import {
  describeContended,
  describeDetection,
  falseVictims,
} from "../../bench/deadlocks/report.ts";
import { type Kind, openRows, pause, take, transact } from "../../bench/deadlocks/transactions.ts";
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
    const { codes } = await induceDeadlock(cluster.url, SHARDS, "a");
    expect(codes).toEqual(["deadlock"]);
  });

  testMoreCircles();

  test("a transaction of one shard in between belongs to the circle, and is not the one to give way", async () => {
    const { url } = cluster;
    // On s1 the first holds a, the one-shard transaction waits for it and holds b, for which the last one waits.
    const first = transact(url, [take("s1", "a"), pause("s2", 120), take("s2", "a")], LONG_MS);
    const between = transact(url, [take("s1", "b"), pause("s1", 60), take("s1", "a")], LONG_MS);
    const last = transact(url, [take("s2", "a"), pause("s1", 120), take("s1", "b")], LONG_MS);
    const codes = (await Promise.all([first, between, last])).map(({ code }) => code);
    expect(codes[1]).toBe("committed");
    expect(codes.filter((code) => code === "deadlock")).toHaveLength(1);
  });

  test("a session that is not Synod's may be a link of the circle", async () => {
    const { url, databases } = cluster;
    const foreign = new pg.Client({ connectionString: databases[0]!.url });
    await foreign.connect();
    await foreign.query("begin");
    await foreign.query("update deadlock_rows set value = 0 where name = 'b'");
    const first = transact(url, [take("s1", "a"), pause("s2", 200), take("s2", "a")], LONG_MS);
    const last = transact(url, [take("s2", "a"), pause("s1", 200), take("s1", "b")], LONG_MS);
    await foreign.query("select pg_sleep(0.1)");
    const waiting = foreign.query("update deadlock_rows set value = 0 where name = 'a'");
    const ended = Promise.all([first, last]);
    await waiting;
    await foreign.query("commit");
    expect((await ended).map(({ code }) => code).sort()).toEqual(["committed", "deadlock"]);
    await foreign.end();
  });

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

function testMoreCircles(): void {
  test.each<[string, readonly Kind[]]>([
    ["of interactive transactions", ["interactive"]],
    ["of interactive ones and one in one request", ["interactive", "oneShot"]],
  ])(
    "of a circle %s one is aborted, and the others commit, long before any time limit",
    async (_, kinds) => {
      const { codes, detectedAfterMs } = await induceDeadlock(cluster.url, SHARDS, "a", kinds);
      expect(codes).toEqual(["deadlock"]);
      expect(detectedAfterMs).toBeLessThan(LONG_MS / 10);
    },
  );

  test("two circles at once lose one transaction each", async () => {
    const circles = await Promise.all([
      induceDeadlock(cluster.url, ["s1", "s2"], "a"),
      induceDeadlock(cluster.url, ["s2", "s3"], "b"),
    ]);
    expect(circles.map(({ codes }) => codes)).toEqual([["deadlock"], ["deadlock"]]);
  });
}
