/** Transactions of one shard alone, on a real server. */
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

let fixture: ShardFixture;
let node: PostgresNode;

beforeEach(async () => {
  fixture = await createShard();
  node = createPostgresNode(fixture.shard);
});
afterEach(async () => {
  await fixture.close();
});

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
  await session.execute([add], "k");
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
  const hourMs = 3_600_000;
  expect(await fixture.shard.deleteOldReceipts(hourMs, 1)).toBe(1);
  expect(await fixture.shard.deleteOldReceipts(hourMs, 10)).toBe(1);
  expect(await fixture.shard.deleteOldReceipts(hourMs, 10)).toBe(0);
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
      `insert into synod.receipts (transaction_id, committed_at) values ('${id}', ${old})`,
    );
  await insert(later);
  await fixture.shard.deleteOldReceipts(1_000, 10);
  await insert(transactionIdOf(1));
  await fixture.shard.deleteOldReceipts(1_000, 10);
  const { rows } = await fixture.client.query<{ forgotten_ballot: string }>(
    "select forgotten_ballot from synod.identity",
  );
  expect(rows[0]!.forgotten_ballot).toBe(String(ballotOf(5)));
});
