/** `GET /metrics` on real coordinators and participants, followed through a few transactions. */
import { post } from "../support/api-node.ts";
import { startGroup, type Group } from "../support/group.ts";
import { readMetrics, type MetricsRead } from "../support/metrics.ts";
import { eventually } from "../support/wait.ts";

let group: Group;

/** In a block of its own, so that it is closed before its databases are. */
describe("metrics", () => {
  beforeAll(async () => {
    group = await startGroup({ shards: 2 });
    for (const { client } of group.shards) {
      await client.query("create table entries (id text primary key)");
    }
  }, 60_000);

  afterAll(async () => {
    await group.close();
  });

  testMetrics();
  testInteractive();
});

const body = (id: string, ...shards: readonly string[]) => ({
  operations: shards.map((shard) => ({
    shard,
    sql: "insert into entries (id) values ($1)",
    params: [id],
  })),
});

const JSON_HEADERS = { "content-type": "application/json" };

const transactions = (read: MetricsRead, path: string, outcome: string): number =>
  read.of("synod_transactions_total", { kind: "one_shot", path, outcome });

function testMetrics(): void {
  test("transactions are counted by path and outcome, replays and refusals apart", async () => {
    const { url } = await group.leader();
    const before = await readMetrics(url);
    const send = async (key: string, request: object): Promise<number> =>
      (await post(url, request, { "idempotency-key": key })).status;
    expect(await send("one", body("one", "s1"))).toBe(200);
    expect(await send("two", body("two", "s1", "s2"))).toBe(200);
    expect(await send("two", body("two", "s1", "s2"))).toBe(200);
    expect(await send("three", body("two", "s1", "s2"))).toBe(422);
    expect(await send("three", body("two", "s1", "s2"))).toBe(422);
    expect(await send("two", body("other", "s1", "s2"))).toBe(422);
    expect(await send("not a key", body("other", "s1", "s2"))).toBe(400);
    const after = await readMetrics(url);
    const grown = (name: string, labels: Readonly<Record<string, string>>): number =>
      after.of(name, labels) - before.of(name, labels);
    const more = (path: string, outcome: string): number =>
      transactions(after, path, outcome) - transactions(before, path, outcome);
    expect(more("one_phase", "committed")).toBe(1);
    expect(more("two_phase", "committed")).toBe(1);
    expect(more("two_phase", "aborted")).toBe(1);
    expect(grown("synod_aborts_total", { reason: "constraint-violation" })).toBe(1);
    expect(grown("synod_idempotent_replays_total", { outcome: "committed" })).toBe(1);
    expect(grown("synod_idempotent_replays_total", { outcome: "aborted" })).toBe(1);
    expect(grown("synod_idempotency_refusals_total", { reason: "reused" })).toBe(1);
    expect(grown("synod_idempotency_refusals_total", { reason: "invalid" })).toBe(1);
    expect(grown("synod_idempotency_entries", { store: "ledger" })).toBe(1);
    expect(grown("synod_idempotency_entries", { store: "leader" })).toBe(2);
    expect(grown("synod_idempotency_bytes", { store: "ledger" })).toBeGreaterThan(0);
    expect(grown("synod_wal_fsync_duration_seconds_count", {})).toBeGreaterThan(0);
    expect(grown("synod_paxos_applied_index", {})).toBeGreaterThan(0);
  });

  test("one node leads, all hear a leader, and all apply the same", async () => {
    await group.leader();
    const reads = await Promise.all(group.nodes.map(({ url }) => readMetrics(url)));
    expect(reads.map((read) => read.of("synod_paxos_has_leader"))).toEqual([1, 1, 1]);
    expect(reads.reduce((sum, read) => sum + read.of("synod_paxos_is_leader"), 0)).toBe(1);
    expect(reads.map((read) => read.of("synod_shard_up"))).toEqual([2, 2, 2]);
    for (const read of reads) {
      expect(read.of("synod_paxos_leader_changes_total")).toBeGreaterThan(0);
      expect(read.of("synod_paxos_ballot")).toBeGreaterThan(1024);
      expect(read.of("synod_invariant_violations_total")).toBe(0);
    }
    await eventually("nothing is left to deliver", async () => {
      const again = await Promise.all(group.nodes.map(({ url }) => readMetrics(url)));
      return again.every((read) => read.of("synod_transactions_undelivered") === 0);
    });
  });

  test("a participant counts its branches, and tells what is in doubt and which receipts it keeps", async () => {
    const [shard] = group.shards;
    const read = await readMetrics(shard!.url);
    expect(read.of("synod_branches_total", { state: "prepared" })).toBeGreaterThan(0);
    expect(read.of("synod_branches_total", { state: "committed" })).toBeGreaterThan(0);
    expect(read.of("synod_transactions_in_doubt")).toBe(0);
    expect(read.of("synod_oldest_in_doubt_age_seconds")).toBe(0);
    expect(read.names).toContain("synod_idempotency_entries");
    expect(read.of("process_resident_memory_bytes")).toBeGreaterThan(0);
  });

  test("no label takes a value that a client chose", async () => {
    const reads = [...group.nodes, ...group.shards].map(({ url }) => readMetrics(url));
    const values = (await Promise.all(reads))
      .flatMap(({ labels }) => labels)
      .flatMap((labels) => Object.values(labels));
    expect(values.filter((value) => ["one", "two", "three"].includes(value))).toEqual([]);
    expect(values.filter((value) => value.length > 64)).toEqual([]);
  });
}

function testInteractive(): void {
  test("interactive transactions are counted by outcome, apart from the others", async () => {
    const { url } = await group.leader();
    const before = await readMetrics(url);
    const base = `${url}/v1/transactions`;
    const send = (method: string, path: string, content?: object): Promise<Response> =>
      fetch(base + path, {
        method,
        ...(content !== undefined && { body: JSON.stringify(content), headers: JSON_HEADERS }),
      });
    const begin = async (): Promise<string> => {
      const { id } = (await (await send("POST", "/begin")).json()) as { readonly id: string };
      return `/${id}`;
    };
    const statement = { seq: 1, shard: "s1", sql: "insert into entries (id) values ('i')" };
    const [committed, failed, rolledBack] = [await begin(), await begin(), await begin()];
    expect((await send("POST", `${committed}/statements`, statement)).status).toBe(200);
    expect((await send("POST", `${committed}/commit`)).status).toBe(200);
    expect((await send("POST", `${failed}/statements`, statement)).status).toBe(422);
    expect((await send("DELETE", rolledBack)).status).toBe(200);
    const after = await readMetrics(url);
    const grown = (name: string, labels: Readonly<Record<string, string>>): number =>
      after.of(name, labels) - before.of(name, labels);
    const more = (kind: string, outcome: string): number =>
      grown("synod_transactions_total", { kind, path: "two_phase", outcome });
    expect([more("interactive", "committed"), more("interactive", "aborted")]).toEqual([1, 2]);
    expect(grown("synod_transactions_total", { kind: "one_shot" })).toBe(0);
    expect(grown("synod_aborts_total", { reason: "constraint-violation" })).toBe(1);
    expect(grown("synod_aborts_total", { reason: "rolled-back" })).toBe(1);
  });
}
