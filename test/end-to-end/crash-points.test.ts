/**
 * Kills the leader between every two steps of the protocol, in real processes over real Postgres servers, and demands each
 * time that the transaction is everywhere or nowhere, that no branch stays in doubt, and that a retry under the same
 * key ends in exactly one outcome. Each point also says which of the two must have happened.
 */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axios, { type AxiosResponse } from "axios";
import pg from "pg";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { FAILPOINTS, type Failpoint } from "../../shared/model/failpoints.ts";
import { eventually } from "../support/wait.ts";

const IN_DOUBT_DEADLINE_MS = 5_000;
const home = mkdtempSync(join(tmpdir(), "synod-crash-points-"));
chmodSync(home, 0o755);
const tokenOf = (point: Failpoint): string => join(home, point);

let cluster: LocalCluster;
let shards: readonly pg.Client[];

beforeAll(async () => {
  cluster = await startLocalCluster({
    shards: 2,
    directory: join(home, "cluster"),
    env: {
      SYNOD_ALLOW_FAILPOINTS: "yes",
      SYNOD_FAILPOINTS: FAILPOINTS.map((point) => `${point}=${tokenOf(point)}`).join(","),
    },
  });
  shards = cluster.participants.map(({ postgresUrl }) => new pg.Client(postgresUrl));
  for (const shard of shards) {
    await shard.connect();
    await shard.query("create table entries (id text primary key)");
  }
}, 60_000);

afterAll(async () => {
  for (const shard of shards) await shard.end();
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

async function leader() {
  await eventually("there is a leader", async () => (await cluster.leader()) !== undefined);
  return (await cluster.leader())!;
}

function submit(url: string, id: string): Promise<AxiosResponse<{ outcome?: string }>> {
  const operations = ["s1", "s2"].map((shard) => ({
    shard,
    sql: "insert into entries (id) values ($1)",
    params: [id],
  }));
  return axios.post(
    `${url}/v1/transactions`,
    { operations },
    {
      headers: { "idempotency-key": `key-${id}` },
      proxy: false,
      timeout: 10_000,
      validateStatus: () => true,
    },
  );
}

const countOf = async (id: string): Promise<readonly number[]> =>
  Promise.all(
    shards.map(async (shard) => {
      const { rowCount } = await shard.query("select 1 from entries where id = $1", [id]);
      return rowCount ?? 0;
    }),
  );

async function nothingInDoubt(): Promise<boolean> {
  const found = await Promise.all(
    shards.map((shard) => shard.query("select from pg_prepared_xacts")),
  );
  return found.every(({ rowCount }) => rowCount === 0);
}

const OUTCOMES: Readonly<Record<Failpoint, "everywhere" | "nowhere">> = {
  beforePrepare: "nowhere",
  afterVotes: "nowhere",
  afterChosen: "everywhere",
  afterFirstCommit: "everywhere",
  beforeComplete: "everywhere",
};

test.each(FAILPOINTS)(
  "a leader killed at %s leaves the transaction everywhere or nowhere",
  async (point) => {
    const killed = await leader();
    writeFileSync(tokenOf(point), "");
    const first = await submit(killed.url, point).catch((error: unknown) => error);
    await eventually("the leader died", () => !killed.isRunning());
    expect(existsSync(tokenOf(point))).toBe(false);

    await eventually("no branch is in doubt", nothingInDoubt, IN_DOUBT_DEADLINE_MS);
    const expected = OUTCOMES[point] === "everywhere" ? 1 : 0;
    await eventually("the branches agree", async () => {
      const counts = await countOf(point);
      return counts.every((count) => count === expected);
    });
    // Completion is off the critical path: there the client has its answer before the leader dies.
    if (point === "beforeComplete") expect(first).toMatchObject({ status: 200 });
    else expect(first).toBeInstanceOf(Error);

    const next = await leader();
    expect(next.id).not.toBe(killed.id);
    const second = await submit(next.url, point);
    expect(second.status).toBe(200);
    expect(second.headers["idempotent-replayed"]).toBe(expected === 1 ? "true" : undefined);
    expect(await countOf(point)).toEqual([1, 1]);
    await eventually("no branch is in doubt", nothingInDoubt, IN_DOUBT_DEADLINE_MS);
    await cluster.restart(killed);
  },
  60_000,
);

test("failpoints are refused where they are not allowed", async () => {
  const node = cluster.coordinators[0]!;
  const refused = cluster.restart(node, { SYNOD_ALLOW_FAILPOINTS: "no" });
  await expect(refused).rejects.toThrow(/SYNOD_ALLOW_FAILPOINTS/);
  await cluster.restart(node, { SYNOD_ALLOW_FAILPOINTS: "yes" });
}, 60_000);
