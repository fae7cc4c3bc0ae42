/** Transactions of one shard alone, on a real server. */
import type { ReceiptLimits } from "../../../participant/receipt-retention.ts";
import type { TransactionId } from "../../../shared/model/ids.ts";
import type { SettleReply } from "../../../shared/model/protocol.ts";
import {
  ballotOf,
  LINK,
  onePhaseRequest,
  transactionIdOf,
} from "../../participant/node-fixture.ts";
import { ADD, operation } from "../../participant/shard-contract.ts";
import { eventually } from "../../support/wait.ts";
import { createShard, openShard, type ShardFixture } from "./postgres-fixture.ts";
import { createPostgresNode, type PostgresNode } from "./postgres-node.ts";
import { startTcpProxy, type TcpProxy, throughProxy } from "./tcp-proxy.ts";

const add = operation(ADD, 1, "a");
const GATE = 42;
const LIMITS: ReceiptLimits = { maxAgeMs: 3_600_000, maxEntries: 1_000, maxBytes: 1_000_000 };

let fixture: ShardFixture;
let node: PostgresNode;

beforeEach(async () => {
  fixture = await createShard();
  node = createPostgresNode(fixture.shard);
});
afterEach(async () => {
  await fixture.close();
});

async function forget(limits: ReceiptLimits): Promise<void> {
  const { surplusUpTo } = await fixture.shard.surveyReceipts(limits);
  await fixture.shard.deleteReceiptsUpTo(surplusUpTo, 100);
}

function settle(sequence: number, { node: participant } = node): Promise<SettleReply> {
  const { carrierId } = onePhaseRequest(sequence, [add]);
  const transactionId = transactionIdOf(sequence);
  return participant.handle(LINK, {
    kind: "settle",
    carrierId,
    transactionId,
  }) as Promise<SettleReply>;
}

test("a transaction leaves its receipt in the same commit, and the key replays it", async () => {
  const first = await node.executeOnePhase(1, [{ ...add, expect: { rowCount: 1 } }], "k");
  expect(first).toMatchObject({
    kind: "committed",
    transactionId: transactionIdOf(1),
    replayed: false,
  });
  const again = await node.executeOnePhase(2, [add], "k");
  expect(again).toEqual({ ...first, replayed: true });
  expect(await fixture.valueOf("a")).toBe("101");
  expect(await settle(1)).toMatchObject({ kind: "committed", results: [[{ rowCount: 1 }]] });
});

test("two participants that run the same key at once commit it once", async () => {
  const other = openShard(fixture.url);
  const participants = [node, createPostgresNode(other, "boot-2")];
  for (let round = 1; round <= 10; round += 1) {
    const [one, two] = await Promise.all(
      participants.map((participant, index) =>
        participant.executeOnePhase(10 * round + index, [add], `k${round}`),
      ),
    );
    expect([one, two]).toEqual([
      expect.objectContaining({ kind: "committed" }),
      expect.objectContaining({ kind: "committed" }),
    ]);
    expect(await fixture.valueOf("a")).toBe(String(100 + round));
  }
  await other.close();
});

test("an attempt that fails where another under its key succeeded is answered from the receipt", async () => {
  await node.executeOnePhase(1, [operation(ADD, -100, "a")], "k");
  expect(await node.executeOnePhase(2, [operation(ADD, -100, "a")], "k")).toMatchObject({
    kind: "committed",
    replayed: true,
  });
  expect(await node.executeOnePhase(3, [operation(ADD, -100, "a")], "other")).toMatchObject({
    kind: "no",
    refusal: { code: "constraint-violation" },
  });
});

/** A commit of this participant that waits at a deferred trigger, with its wire in the test's hand. */
async function withWaitingCommit(
  work: (far: PostgresNode, proxy: TcpProxy, reply: Promise<unknown>) => Promise<void>,
): Promise<void> {
  await fixture.client.query(`
    create function wait_at_gate() returns trigger language plpgsql as
      'begin perform pg_advisory_xact_lock_shared(${GATE}); return null; end';
    create constraint trigger gate after update on items deferrable initially deferred
      for each row execute function wait_at_gate();
    select pg_advisory_lock(${GATE})`);
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const shard = openShard(throughProxy(fixture.url, proxy));
  const far = createPostgresNode(shard, "boot-3");
  const reply = far.executeOnePhase(1, [add], "k", 20_000);
  await eventually("COMMIT waits", async () => (await waitingFor("advisory")) === 1);
  try {
    await work(far, proxy, reply);
  } finally {
    await shard.close();
    await proxy.close();
  }
}

async function waitingFor(lock: string): Promise<number> {
  const { rows } = await fixture.client.query<{ count: string }>(
    "select count(*) from pg_locks where not granted and locktype = $1",
    [lock],
  );
  return Number(rows[0]!.count);
}

test("a commit whose connection is lost is unknown, and settling waits for it", async () => {
  await withWaitingCommit(async (_, proxy, reply) => {
    proxy.cut();
    expect(await reply).toMatchObject({ kind: "unknown" });
    const settled = settle(1);
    await eventually("settling waits", async () => (await waitingFor("transactionid")) === 1);
    await fixture.client.query(`select pg_advisory_unlock(${GATE})`);
    expect(await settled).toMatchObject({ kind: "committed" });
    expect(await fixture.valueOf("a")).toBe("101");
  });
});

test("a commit whose server process is ended is settled as aborted for ever", async () => {
  await withWaitingCommit(async (far, proxy, reply) => {
    proxy.cut();
    expect(await reply).toMatchObject({ kind: "unknown" });
    const settled = settle(1, far);
    await eventually("settling waits", async () => (await waitingFor("transactionid")) === 1);
    await fixture.client.query(
      `select pg_terminate_backend(pid) from pg_locks where not granted and locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())`,
    );
    expect(await settled).toEqual({ kind: "aborted" });
    expect(await settle(1)).toEqual({ kind: "aborted" });
    expect(await fixture.valueOf("a")).toBe("100");
  });
});

test("a transaction that was settled before it came to its commit does not commit", async () => {
  const session = await fixture.begin();
  await session.execute([add], ["k"]);
  expect(await settle(1)).toEqual({ kind: "aborted" });
  const receipt = {
    transactionId: transactionIdOf(1),
    idempotencyKey: "k",
    fingerprint: "f",
    results: [],
  };
  expect(await session.commit(receipt)).toEqual({ kind: "conflict" });
  expect(await fixture.valueOf("a")).toBe("100");
});

test("old receipts are deleted in batches, and nothing is claimed about what they spoke of", async () => {
  for (const sequence of [1, 2, 3]) await node.executeOnePhase(sequence, [add], `k${sequence}`);
  await fixture.client.query(
    "update synod.receipts set committed_at = committed_at - interval '2 hours' where transaction_id <> $1",
    [transactionIdOf(3)],
  );
  const { surplusUpTo } = await fixture.shard.surveyReceipts(LIMITS);
  expect(await fixture.shard.deleteReceiptsUpTo(surplusUpTo, 1)).toBe(1);
  expect(await fixture.shard.deleteReceiptsUpTo(surplusUpTo, 10)).toBe(1);
  expect(await fixture.shard.deleteReceiptsUpTo(surplusUpTo, 10)).toBe(0);
  expect(await settle(1)).toMatchObject({ kind: "retry" });
  expect(await settle(2)).toMatchObject({ kind: "retry" });
  expect(await settle(3)).toMatchObject({ kind: "committed" });
  expect(await settle(4)).toEqual({ kind: "aborted" });
  const { rows } = await fixture.client.query(
    "select transaction_id from synod.receipts order by 1",
  );
  expect(rows).toHaveLength(2);
});

test("the mark of deleted receipts never moves back", async () => {
  const later = transactionIdOf(1, 5);
  const old = "now() - interval '2 hours'";
  const insert = (id: TransactionId): Promise<unknown> =>
    fixture.client.query(
      `insert into synod.receipts (transaction_id, results, committed_at) values ('${id}', '[]', ${old})`,
    );
  await insert(later);
  await forget(LIMITS);
  await insert(transactionIdOf(1));
  await forget(LIMITS);
  const { rows } = await fixture.client.query<{ forgotten_ballot: string }>(
    "select forgotten_ballot from synod.identity",
  );
  expect(rows[0]!.forgotten_ballot).toBe(String(ballotOf(5)));
});

test("deleting the tombstone of an id that nobody has made yet leaves later transactions answered", async () => {
  const far = 3_000_000;
  expect(await settle(far)).toEqual({ kind: "aborted" });
  await forget({ ...LIMITS, maxEntries: 0 });
  expect(await settle(4)).toEqual({ kind: "aborted" });
  await node.executeOnePhase(5, [add]);
  await forget({ ...LIMITS, maxEntries: 0 });
  expect(await settle(5)).toMatchObject({ kind: "retry" });
  expect(await settle(far)).toEqual({ kind: "aborted" });
});

const uuid7 = (atMs: number): string => {
  const time = atMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7abc-8def-0123456789ab`;
};

/** Receipts k1, k2, …, as old as told, in minutes. */
async function receiptsAged(...minutes: readonly number[]): Promise<void> {
  for (const [index, age] of minutes.entries()) {
    await node.executeOnePhase(index + 1, [add], `k${index + 1}`);
    await fixture.client.query(
      `update synod.receipts set committed_at = clock_timestamp() - ${age} * interval '1 minute'
       where transaction_id = $1`,
      [transactionIdOf(index + 1)],
    );
  }
}

const keptKeys = async (): Promise<readonly string[]> => {
  const { rows } = await fixture.client.query<{ key: string }>(
    "select idempotency_key as key from synod.receipts order by 1",
  );
  return rows.map(({ key }) => key);
};

test("receipts are bounded by age", async () => {
  await receiptsAged(90, 61, 59);
  await forget(LIMITS);
  expect(await keptKeys()).toEqual(["k3"]);
});

test("receipts are bounded by number, and the oldest go first", async () => {
  await receiptsAged(5, 20, 10, 15);
  await forget({ ...LIMITS, maxEntries: 2 });
  expect(await keptKeys()).toEqual(["k1", "k3"]);
});

test("receipts are bounded by bytes, and the oldest go first", async () => {
  await receiptsAged(3, 2, 1);
  const { bytes, entries, oldestAgeMs } = await fixture.shard.surveyReceipts(LIMITS);
  expect(entries).toBe(3);
  expect(oldestAgeMs).toBeGreaterThanOrEqual(180_000);
  await forget({ ...LIMITS, maxBytes: bytes - 1 });
  expect(await keptKeys()).toEqual(["k2", "k3"]);
  await forget({ ...LIMITS, maxBytes: 1 });
  expect(await keptKeys()).toEqual([]);
});

test("a key of the time of a receipt that is deleted is refused as expired, also after a restart", async () => {
  const nowMs = Date.now();
  const old = uuid7(nowMs - 90 * 60_000);
  await receiptsAged(70, 10);
  expect(await node.executeOnePhase(3, [add], old)).toMatchObject({ kind: "committed" });
  await fixture.client.query("delete from synod.receipts where transaction_id = $1", [
    transactionIdOf(3),
  ]);
  await forget(LIMITS);
  const expired = { kind: "no", refusal: { code: "idempotency-key-expired" } };
  const before = await fixture.valueOf("a");
  expect(await node.executeOnePhase(4, [add], old)).toMatchObject(expired);
  const another = openShard(fixture.url);
  await another.recallForgottenKeys();
  expect(another.keysForgottenUpToMs).toBe(fixture.shard.keysForgottenUpToMs);
  await another.close();
  expect(await fixture.valueOf("a")).toBe(before);
  const young = await node.executeOnePhase(5, [add], uuid7(nowMs));
  expect(young).toMatchObject({ kind: "committed" });
});
