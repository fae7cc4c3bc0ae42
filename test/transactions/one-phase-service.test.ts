/** What a leader does about transactions of one shard, before that shard is asked and instead of asking it. */
import { Admission } from "../../coordinator/transactions/admission.ts";
import {
  AnsweredKeys,
  DEFAULT_ANSWERED_KEYS_LIMITS,
} from "../../coordinator/transactions/answered-keys.ts";
import { Carriers } from "../../coordinator/transactions/carriers.ts";
import { TransactionCounts } from "../../coordinator/transactions/counts.ts";
import { Delivery } from "../../coordinator/transactions/delivery.ts";
import { NotLeader, type SubmissionAnswer } from "../../coordinator/transactions/gateway.ts";
import { Incidents } from "../../coordinator/transactions/incidents.ts";
import { Lane } from "../../coordinator/transactions/lane/lane.ts";
import { Leadership } from "../../coordinator/transactions/leadership.ts";
import { DEFAULT_LEDGER_OPTIONS, Ledger } from "../../coordinator/transactions/ledger/ledger.ts";
import { OnePhase } from "../../coordinator/transactions/one-phase.ts";
import { TransactionService } from "../../coordinator/transactions/transaction-service.ts";
import type { ParticipantLinks, ReplyTo } from "../../coordinator/transport/participant-link.ts";
import { noFailpoints } from "../../shared/model/failpoints.ts";
import {
  type Ballot,
  onePhaseTransactionId,
  parseTransactionId,
  originOf,
  shardId,
  transactionId,
  type ShardId,
  type TransactionId,
} from "../../shared/model/ids.ts";
import type { BranchRequest, Idempotency } from "../../shared/model/protocol.ts";
import { CLUSTER, createNode, LINK, SHARD, silent } from "../participant/node-fixture.ts";
import { ADD } from "../participant/shard-contract.ts";
import { fixedRandom, settled } from "../participant/test-clock.ts";
import { barrier, commit, key, roundBallot, transaction } from "./support/commands.ts";

const ROUND = 2;

/** A leader, and a participant on the twin of a database. */
function createWorld(ledgerOptions = DEFAULT_LEDGER_OPTIONS, stillLeads = true) {
  const { node, clock, database, hooks } = createNode();
  const sent: BranchRequest["kind"][] = [];
  const links: ParticipantLinks = {
    shards: [SHARD],
    connected: () => node.hello(),
    request: async <Request extends BranchRequest>(_: string, request: Request) => {
      sent.push(request.kind);
      return (await node.handle(LINK, request)) as ReplyTo<Request>;
    },
    onChange: () => undefined,
  };
  const [ledger, leadership, ballot] = [
    new Ledger(ledgerOptions),
    new Leadership(),
    roundBallot(ROUND),
  ];
  const common = { links, clock, logger: silent };
  const delivery = new Delivery({
    ...{ ...common, incidents: new Incidents(silent), failpoint: noFailpoints },
    complete: () => true,
  });
  const carriers = new Carriers({
    ...{ ...common, clusterId: CLUSTER, delivery, failpoint: noFailpoints },
    propose: () => false,
  });
  const admission = new Admission(() => 10, clock);
  const leader = (): undefined => undefined;
  const service = new TransactionService({
    ...{ ...common, ledger, leadership, carriers, delivery, random: fixedRandom },
    onePhase: new OnePhase(common),
    ...{ admission, leader },
    lane: new Lane({ clock, random: fixedRandom, leadership, carriers, admission, leader }),
    answeredKeys: new AnsweredKeys(clock, DEFAULT_ANSWERED_KEYS_LIMITS),
    counts: new TransactionCounts(),
    isInteractive: () => false,
    stillLeads: () => Promise.resolve(stillLeads),
  });
  leadership.elected(ballot);
  ledger.apply(barrier(ROUND));
  leadership.barrierApplied(ballot, ballot);
  const add = (shards = [SHARD], idempotency: Idempotency | null = null) =>
    service.submit({ ...addition(shards), idempotency });
  return { ...{ service, ledger, clock, database, hooks, sent }, add };
}

const addition = (shards: readonly ShardId[]) => ({
  request: {
    operations: shards.map((shard) => ({ shard, sql: ADD, params: [1, "a"] })),
    isolation: "read committed" as const,
    waitFor: "applied" as const,
    timeoutMs: 1_000,
  },
});

const idOf = ({ response }: SubmissionAnswer): TransactionId => parseTransactionId(response.id)!;
const madeUp = (round: number, sequence: number): TransactionId =>
  onePhaseTransactionId(roundBallot(round), sequence, "abcdefgh", SHARD);

test("of a transaction that it began a leader asks the shard", async () => {
  const { service, add, sent } = createWorld();
  const id = idOf(await add());
  expect(await service.status(id)).toEqual({ id, state: "committed", pendingShards: [] });
  expect(sent).toEqual(["executeOnePhase", "settle"]);
});

test("a key of what found nothing to write is answered: an attempt that comes late writes nothing either", async () => {
  const { add, database } = createWorld();
  database.items.delete("a");
  const first = await add([SHARD], key("k"));
  expect(first).toMatchObject({ response: { results: [{ rowCount: 0 }] }, replayed: false });
  database.items.set("a", 100n);
  expect(await add([SHARD], key("k"))).toEqual({ response: first.response, replayed: true });
  expect(database.items.get("a")).toBe(100n);
  await expect(add([SHARD], key("k", "other"))).rejects.toMatchObject({
    code: "idempotency-key-reused",
  });
});

describe("an abort under a key", () => {
  const unmet = (idempotency: Idempotency, more: { readonly meantFor?: Ballot } = {}) => {
    const { request } = addition([SHARD]);
    const [first] = request.operations;
    const operations = [{ ...first!, expect: { rowCount: 2 } }];
    return { ...more, request: { ...request, operations }, idempotency };
  };

  test("is its answer, and the shard is not asked again", async () => {
    const { service, sent } = createWorld();
    const told = { code: "expectation-failed", outcome: "aborted" };
    await expect(service.submit(unmet(key("k")))).rejects.toMatchObject(told);
    const again = service.submit(unmet(key("k")));
    await expect(again).rejects.toMatchObject({ ...told, detail: { replayed: true } });
    expect(sent).toEqual(["executeOnePhase"]);
  });

  test("is not told by a leader that was replaced without hearing of it", async () => {
    const { service } = createWorld(DEFAULT_LEDGER_OPTIONS, false);
    const told = { code: "outcome-unknown", outcome: "unknown" };
    await expect(service.submit(unmet(key("k")))).rejects.toMatchObject(told);
  });

  test("is of one leader: what was meant for another is not begun", async () => {
    const { service, sent } = createWorld();
    const held = service.submit(unmet(key("k"), { meantFor: roundBallot(ROUND - 1) }));
    await expect(held).rejects.toBeInstanceOf(NotLeader);
    expect(sent).toEqual([]);
  });
});

test("an id that a leader has not given yet is not found, and leaves nothing behind on the shard", async () => {
  const { service, add, database, sent } = createWorld();
  const { ballot, sequence } = originOf(idOf(await add()));
  expect(ballot).toBe(roundBallot(ROUND));
  for (const [round, place] of [
    [ROUND, sequence + 1],
    [ROUND, 3_000_000],
    [ROUND + 1, sequence],
  ] as const) {
    for (const id of [madeUp(round, place), transactionId(roundBallot(round), place, "tailtail")]) {
      await expect(service.status(id)).rejects.toMatchObject({ code: "not-found" });
    }
  }
  expect(sent).toEqual(["executeOnePhase"]);
  expect(database.receipts.size).toBe(1);
});

test("of ids of a higher ballot a leader that was replaced without hearing of it says nothing", async () => {
  const { service, sent } = createWorld(DEFAULT_LEDGER_OPTIONS, false);
  for (const id of [madeUp(ROUND + 1, 1), transaction(ROUND + 1, 1)]) {
    await expect(service.status(id)).rejects.toBeInstanceOf(NotLeader);
  }
  expect(sent).toEqual([]);
});

test("an id that was given, and is neither held nor in the ledger, is aborted", async () => {
  const { service, add } = createWorld();
  const { ballot, sequence } = originOf(idOf(await add()));
  const id = transactionId(ballot, sequence, "tailtail");
  expect(await service.status(id)).toEqual({ id, state: "aborted", pendingShards: [] });
  expect(await service.status(transaction(ROUND - 1, 900))).toMatchObject({ state: "aborted" });
});

test("a made-up id of an earlier ballot is settled, and harms no transaction of this one", async () => {
  const { service, add } = createWorld();
  expect(await service.status(madeUp(ROUND - 1, 3_000_000))).toMatchObject({ state: "aborted" });
  expect(await add()).toMatchObject({ response: { outcome: "committed" } });
});

describe("under a key that the ledger may have forgotten", () => {
  const S2 = shardId("s2");
  const nowMs = 1_700_000_000_000;
  const uuid7 = (atMs: number, serial: number): string => {
    const time = atMs.toString(16).padStart(12, "0");
    return `${time.slice(0, 8)}-${time.slice(8)}-7abc-8def-${String(serial).padStart(12, "0")}`;
  };
  const old = key(uuid7(nowMs - 7_200_000, 1));
  const expired = { code: "idempotency-key-expired", outcome: "unknown" };

  /** Each keeps one answer. */
  function createForgetful() {
    const { answers } = DEFAULT_LEDGER_OPTIONS;
    const world = createWorld({
      ...DEFAULT_LEDGER_OPTIONS,
      answers: { ...answers, maxEntries: 1 },
    });
    return {
      ...world,
      /** Of several shards, under these keys, one after the other. */
      committed: (...keys: readonly Idempotency[]) => {
        for (const [index, idempotency] of keys.entries()) {
          world.ledger.apply(commit(ROUND, 500 + index, { atMs: nowMs, idempotency }));
        }
      },
    };
  }
  const young = [key(uuid7(nowMs, 2)), key(uuid7(nowMs, 3))] as const;

  test("what one shard did is answered from its receipt", async () => {
    const { add, committed, database } = createForgetful();
    const first = await add([SHARD], old);
    committed(...young);
    expect(await add([SHARD], old)).toEqual({ ...first, replayed: true });
    expect(database.items.get("a")).toBe(101n);
  });

  test.each([["one shard", [SHARD]] as const, ["several shards", [SHARD, S2]] as const])(
    "what several shards did is not run again on %s",
    async (_, shards) => {
      const { add, committed, database } = createForgetful();
      committed(old, ...young);
      await expect(add([...shards], old)).rejects.toMatchObject(expired);
      expect(database.items.get("a")).toBe(100n);
      expect(database.receipts.size).toBe(0);
    },
  );

  test("an attempt that is settled instead of answered is not called aborted", async () => {
    const { add, committed, hooks, clock } = createForgetful();
    committed(old, ...young);
    hooks.verdicts.set("before execute", "lose").set("before receipt", "lose");
    const answer = add([SHARD], old);
    const told = expect(answer).rejects.toMatchObject(expired);
    await settled();
    hooks.verdicts.clear();
    await clock.advance(500);
    await told;
  });
});
