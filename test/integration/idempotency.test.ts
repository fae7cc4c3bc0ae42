/**
 * Idempotency keys on real coordinators and real databases: each way in which a key can be wrong has its own error, and what
 * was answered under a key stays the answer, whatever happens to nodes meanwhile.
 */
import { setTimeout } from "node:timers/promises";
import { DEFAULT_LEDGER_OPTIONS } from "../../coordinator/transactions/ledger/ledger.ts";
import { post, type Answer } from "../support/api-node.ts";
import { startGroup, type Group, type GroupNode } from "../support/group.ts";
import { readMetrics } from "../support/metrics.ts";
import { eventually } from "../support/wait.ts";

let group: Group;

let serial = 0;
const newKey = (): string => `key-${(serial += 1)}`;
const uuid7 = (atMs: number): string => {
  const time = atMs.toString(16).padStart(12, "0");
  const tail = (serial += 1).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7abc-8def-${tail}`;
};

/** Leaves one row on each shard; twice the same is a unique violation. */
const entry = (id: string, ...shards: readonly string[]) => ({
  operations: shards.map((shard) => ({
    shard,
    sql: "insert into entries (id) values ($1)",
    params: [id],
  })),
});

const MAX_TRIES = 20;

/** As a client should: what says that the moment was wrong is asked again, under the same key. */
async function ask(node: GroupNode, key: string, body: object): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    const answer = await post(node.url, body, { "idempotency-key": key });
    if (answer.status < 500 || tries === MAX_TRIES) return answer;
    await setTimeout(100);
  }
}

const codeOf = ({ status, body }: Answer): readonly unknown[] => [status, body["code"]];
const isReplayed = ({ headers }: Answer): boolean => headers.get("idempotent-replayed") === "true";

async function changeLeader(): Promise<GroupNode> {
  const old = await group.leader();
  await old.stop();
  const next = await group.leader();
  await old.start();
  await group.leader();
  return next;
}

const countOf = async (id: string): Promise<readonly number[]> =>
  Promise.all(
    group.shards.map(async ({ client }) => {
      const { rowCount } = await client.query("select 1 from entries where id = $1", [id]);
      return rowCount ?? 0;
    }),
  );

const somebodyWaits = async (): Promise<boolean> => {
  const { rowCount } = await group.shards[0]!.client.query(
    "select from pg_locks where not granted",
  );
  return rowCount !== 0;
};

/** In a block of its own, so that it is closed before its databases are. */
describe("idempotency keys", () => {
  beforeAll(async () => {
    group = await startGroup({
      shards: 3,
      coordinators: {
        // Three answers are remembered, and every few slots there is a snapshot.
        ledgerOptions: {
          ...DEFAULT_LEDGER_OPTIONS,
          answers: { ...DEFAULT_LEDGER_OPTIONS.answers, maxEntries: 3 },
        },
        snapshots: { minGrowthBytes: 2_000 },
      },
    });
    for (const { client } of group.shards) {
      await client.query("create table counters (id text primary key, value bigint not null)");
      await client.query("create table entries (id text primary key)");
    }
  }, 60_000);

  afterAll(async () => {
    await group.close();
  });

  testExpiry();
  testErrors();
  testAnswers();
});

function testExpiry(): void {
  test("a key with a time that is older than what is remembered is refused for ever, by every leader", async () => {
    const key = uuid7(Date.now());
    const body = entry(key, "s1", "s2");
    expect((await ask(await group.leader(), key, body)).status).toBe(200);
    for (let more = 0; more < 3; more += 1) {
      const other = newKey();
      expect((await ask(await group.leader(), other, entry(other, "s1", "s2"))).status).toBe(200);
    }
    const expired = await ask(await group.leader(), key, body);
    expect(codeOf(expired)).toEqual([409, "idempotency-key-expired"]);
    expect(expired.body).toMatchObject({ outcome: "unknown", retryable: false });
    const later = await ask(await changeLeader(), key, body);
    expect(codeOf(later)).toEqual([409, "idempotency-key-expired"]);
    expect(await countOf(key)).toEqual([1, 1, 0]);
  });
}

function testErrors(): void {
  // First, because it takes that nothing has been forgotten yet: a key as young as what was forgotten last counts as older.

  test("a key that is malformed and one that is too long have their own errors, on any node", async () => {
    const body = entry("malformed", "s1", "s2");
    for (const node of group.nodes) {
      expect(codeOf(await ask(node, "not a key", body))).toEqual([400, "idempotency-key-invalid"]);
      expect(codeOf(await ask(node, "k".repeat(256), body))).toEqual([
        400,
        "idempotency-key-too-long",
      ]);
    }
    expect(await countOf("malformed")).toEqual([0, 0, 0]);
  });

  test.each([
    { first: ["s1", "s2"], second: ["s1", "s3"] },
    { first: ["s1"], second: ["s1", "s2"] },
    { first: ["s1"], second: ["s2", "s3"] },
    { first: ["s1", "s2"], second: ["s1"] },
    { first: ["s1", "s2"], second: ["s3"] },
    { first: ["s1"], second: ["s2"] },
  ])("a key that was used on $first is refused on $second", async ({ first, second }) => {
    const leader = await group.leader();
    const key = newKey();
    expect((await ask(leader, key, entry(key, ...first))).status).toBe(200);
    for (const node of group.nodes) {
      expect(codeOf(await ask(node, key, entry(key, ...second)))).toEqual([
        422,
        "idempotency-key-reused",
      ]);
    }
    const counts = await countOf(key);
    expect(counts.map((count, index) => (count === 1 ? `s${index + 1}` : "")).join("")).toBe(
      first.join(""),
    );
  });

  test.each([
    { first: ["s1", "s2"], second: ["s3"] },
    { first: ["s1"], second: ["s1", "s2"] },
    { first: ["s1"], second: ["s2", "s1"] },
  ])(
    "after a change of leader a key that was used on $first is refused on $second",
    async ({ first, second }) => {
      const key = newKey();
      expect((await ask(await group.leader(), key, entry(key, ...first))).status).toBe(200);
      const leader = await changeLeader();
      const answer = await ask(leader, key, entry(`${key}-other`, ...second));
      expect(codeOf(answer)).toEqual([422, "idempotency-key-reused"]);
      expect(answer.body["outcome"]).toBe("not_started");
      expect(await countOf(`${key}-other`)).toEqual([0, 0, 0]);
    },
  );
}

function testAnswers(): void {
  test("a key in use is refused when its attempt does not end before the second one's deadline", async () => {
    const leader = await group.leader();
    const key = newKey();
    const holder = group.shards[0]!.client;
    await holder.query("begin");
    await holder.query("insert into entries (id) values ($1)", [key]);
    const body = entry(key, "s1", "s2");
    const first = ask(leader, key, body);
    await eventually("the first attempt waits for the row", somebodyWaits);
    const second = await ask(leader, key, { ...body, timeoutMs: 200 });
    expect(codeOf(second)).toEqual([409, "idempotency-in-progress"]);
    expect(second.body).toMatchObject({ outcome: "unknown", retryable: true });
    const third = ask(leader, key, body);
    await holder.query("rollback");
    expect((await first).status).toBe(200);
    expect(isReplayed(await third)).toBe(true);
    expect((await third).body["id"]).toBe((await first).body["id"]);
  });

  test("an abort is the key's answer, and another key is another try", async () => {
    const leader = await group.leader();
    for (const shards of [["s1"], ["s1", "s2"]]) {
      const id = newKey();
      const key = newKey();
      await group.shards[0]!.client.query("insert into entries (id) values ($1)", [id]);
      const first = await ask(leader, key, entry(id, ...shards));
      expect(codeOf(first)).toEqual([422, "constraint-violation"]);
      expect(isReplayed(first)).toBe(false);
      await group.shards[0]!.client.query("delete from entries where id = $1", [id]);
      for (const node of group.nodes) {
        const again = await ask(node, key, entry(id, ...shards));
        expect(codeOf(again)).toEqual([422, "constraint-violation"]);
        expect(isReplayed(again)).toBe(true);
        expect(again.body["transactionId"]).toBe(first.body["transactionId"]);
      }
      expect(await countOf(id)).toEqual([0, 0, 0]);
      expect((await ask(leader, newKey(), entry(id, ...shards))).status).toBe(200);
    }
  });

  test("what did not begin leaves its key open", async () => {
    const leader = await group.leader();
    const key = newKey();
    expect(codeOf(await ask(leader, key, entry(key, "s9", "s1")))).toEqual([400, "unknown-shard"]);
    expect((await ask(leader, key, entry(key, "s2", "s1"))).status).toBe(200);
  });

  test.each([[["s1"]], [["s1", "s2"]]])(
    "the first answer on %j is given again after a change of leader and after a restart of all",
    async (shards) => {
      const key = newKey();
      const body = entry(key, ...shards);
      const first = await ask(await group.leader(), key, body);
      expect([first.status, isReplayed(first)]).toEqual([200, false]);
      const later = await ask(await changeLeader(), key, body);
      expect([later.status, isReplayed(later), later.body]).toEqual([200, true, first.body]);
      const leader = await readMetrics((await group.leader()).url);
      expect(leader.of("synod_snapshots_total")).toBeGreaterThan(0);
      await Promise.all(group.nodes.map((node) => node.stop()));
      await Promise.all(group.nodes.map((node) => node.start()));
      await group.leader();
      for (const node of group.nodes) {
        const again = await ask(node, key, body);
        expect([again.status, isReplayed(again), again.body]).toEqual([200, true, first.body]);
      }
      expect((await countOf(key)).reduce((sum, count) => sum + count, 0)).toBe(shards.length);
    },
  );
}
