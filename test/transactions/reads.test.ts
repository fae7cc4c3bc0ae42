/** Which transactions a read compares its snapshots by, and what it leaves behind. */
import { Agreements } from "../../coordinator/transactions/agreements.ts";
import { Delivery } from "../../coordinator/transactions/delivery.ts";
import { Incidents } from "../../coordinator/transactions/incidents.ts";
import { Leadership } from "../../coordinator/transactions/leadership.ts";
import { Reads } from "../../coordinator/transactions/reads.ts";
import {
  LinkLost,
  type ParticipantLinks,
  type ReplyTo,
} from "../../coordinator/transport/participant-link.ts";
import type { OperationResult } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import { noFailpoints } from "../../shared/model/failpoints.ts";
import { shardId, type ShardId } from "../../shared/model/ids.ts";
import type { BranchRequest, CommitReply, ParticipantHello } from "../../shared/model/protocol.ts";
import { silent } from "../participant/node-fixture.ts";
import { settled, TestClock } from "../participant/test-clock.ts";
import { commit, roundBallot } from "./support/commands.ts";

const [S1, S2, S3] = [shardId("s1"), shardId("s2"), shardId("s3")];
/** Of `commit(1, 1)`, on either shard. */
const XID = 101;
const LACKS = `${XID}:${XID}:`;
const HAS = `${XID + 1}:${XID + 1}:`;
const BRANCH_LOST: CommitReply = { kind: "lost", sentence: "the shard knows it no more" };
const CONFIRMED: CommitReply = { kind: "committed", evidence: "commandTag" };

/** Each shard answers a read in the next turn with its snapshot as text, and a commit as the test says; until then not at all. */
class Shards implements ParticipantLinks {
  readonly shards = [S1, S2, S3];
  readonly down = new Set<ShardId>();
  readonly snapshots = new Map<ShardId, string>(this.shards.map((shard) => [shard, LACKS]));
  readonly #commits = new Map<ShardId, (reply: CommitReply) => void>();
  readonly sent: string[] = [];

  connected(shard: ShardId): ParticipantHello | undefined {
    return this.down.has(shard) ? undefined : ({} as ParticipantHello);
  }

  request<Request extends BranchRequest>(
    shard: ShardId,
    request: Request,
  ): Promise<ReplyTo<Request>> {
    this.sent.push(`${request.kind} ${shard}`);
    if (request.kind === "read") {
      return settled().then(() => {
        const snapshot = this.snapshots.get(shard)!;
        const results: OperationResult[] = [{ rowCount: 1, rows: [{ snapshot }] }];
        return { kind: "read", snapshot, results } as ReplyTo<Request>;
      });
    }
    if (request.kind !== "commit") throw new LinkLost(`nobody asked for ${request.kind}`);
    return new Promise((resolve) => {
      this.#commits.set(shard, (reply) => {
        resolve(reply as ReplyTo<Request>);
      });
    });
  }

  onChange(): void {
    // Links stay as they are.
  }

  async answerCommit(shard: ShardId, reply: CommitReply): Promise<void> {
    if (reply.kind === "committed") this.snapshots.set(shard, HAS);
    this.#commits.get(shard)!(reply);
    await settled();
  }
}

function createWorld(maxRemembered?: number) {
  const [clock, links, leadership] = [new TestClock(), new Shards(), new Leadership()];
  const ballot = roundBallot(1);
  leadership.elected(ballot);
  leadership.barrierApplied(ballot, ballot);
  const common = { links, clock, logger: silent };
  const delivery = new Delivery({
    ...{ ...common, incidents: new Incidents(silent), failpoint: noFailpoints },
    complete: () => true,
  });
  delivery.startLeading([]);
  const leader = (): undefined => undefined;
  const stillLeads = (): Promise<boolean> => Promise.resolve(true);
  const agreements = new Agreements({
    ...{ clock, delivery, leader, stillLeads },
    ...(maxRemembered !== undefined && { maxRemembered }),
  });
  const reads = new Reads({ ...common, leadership, agreements, leader });
  const read = (...shards: readonly ShardId[]): Promise<unknown> => {
    const operations = shards.map((shard) => ({ shard, sql: "select 1", params: [] }));
    return reads
      .read({ operations, timeoutMs: 1_000 })
      .then((results) => results.map(({ rows }) => rows[0]?.["snapshot"]))
      .catch((error: unknown) => {
        if (!(error instanceof SynodError)) throw error;
        return { code: error.code, outcome: error.outcome };
      });
  };
  const carrier = commit(1, 1);
  const deliver = (): void => {
    agreements.applied({ kind: "committed", carrier });
    delivery.deliver(carrier, () => undefined);
  };
  const apply = (...numbers: readonly number[]): void => {
    for (const number of numbers) {
      agreements.applied({ kind: "committed", carrier: commit(1, number) });
    }
  };
  return { clock, links, delivery, read, deliver, apply };
}

test("where more commits than is remembered, the read that has to remember most is given up, and no other", async () => {
  const { read, apply } = createWorld(3);
  const first = read(S1, S2);
  apply(1, 2, 2, 3);
  const second = read(S1, S2);
  apply(4);
  expect(await first).toEqual({ code: "overloaded", outcome: "not_started" });
  expect(await second).toEqual([LACKS, LACKS]);
  const third = read(S1, S2);
  apply(5, 6, 7);
  expect(await third).toEqual([LACKS, LACKS]);
});

test("a read waits for what one of its shards had confirmed before it began, and the other had not", async () => {
  const { links, read, deliver } = createWorld();
  deliver();
  await links.answerCommit(S1, CONFIRMED);
  const reading = read(S1, S2);
  await settled();
  await settled();
  await links.answerCommit(S2, CONFIRMED);
  expect(await reading).toEqual([HAS, HAS]);
  expect(links.sent.filter((sent) => sent === "read s2")).toHaveLength(2);
});

test("a read waits for what was applied after it began", async () => {
  const { links, read, deliver } = createWorld();
  const reading = read(S1, S2);
  deliver();
  await links.answerCommit(S1, CONFIRMED);
  await settled();
  await links.answerCommit(S2, CONFIRMED);
  expect(await reading).toEqual([HAS, HAS]);
});

test("what a shard has lost is never read by halves", async () => {
  const { clock, links, read, deliver } = createWorld();
  deliver();
  await links.answerCommit(S1, CONFIRMED);
  await links.answerCommit(S2, BRANCH_LOST);
  const reading = read(S1, S2);
  await clock.advance(1_000);
  expect(await reading).toEqual({ code: "transaction-timeout", outcome: "aborted" });
});

test("a branch that its shard has lost is not sent again", async () => {
  const { clock, links, deliver } = createWorld();
  deliver();
  await links.answerCommit(S2, BRANCH_LOST);
  await clock.advance(10_000);
  expect(links.sent.filter((sent) => sent === "commit s2")).toHaveLength(1);
});

test("a read is not concerned with what only other shards have not confirmed", async () => {
  const { links, delivery, read, deliver } = createWorld();
  deliver();
  await links.answerCommit(S1, CONFIRMED);
  expect([...delivery.unconfirmed([S1, S3])]).toEqual([]);
  expect([...delivery.unconfirmed([S1, S2])]).toHaveLength(1);
  expect(await read(S1, S3)).toEqual([HAS, LACKS]);
});

test("a read that gives up leaves nobody waiting", async () => {
  const { clock, links, delivery, read, deliver } = createWorld();
  deliver();
  await links.answerCommit(S1, CONFIRMED);
  const reading = Promise.all([read(S1, S2), read(S1, S2)]);
  await settled();
  await settled();
  expect(delivery.waiting).toBe(2);
  await clock.advance(1_000);
  expect(await reading).toMatchObject([
    { code: "transaction-timeout" },
    { code: "transaction-timeout" },
  ]);
  expect(delivery.waiting).toBe(0);
});

test("who waits for a confirmation is told when this node stops leading", async () => {
  const { links, delivery, read, deliver } = createWorld();
  deliver();
  await links.answerCommit(S1, CONFIRMED);
  const reading = read(S1, S2);
  await settled();
  await settled();
  links.snapshots.set(S2, HAS);
  delivery.stopLeading();
  expect(await reading).toEqual([HAS, HAS]);
  expect(delivery.waiting).toBe(0);
});

test("a read of a shard that cannot be reached is refused before anything is sent", async () => {
  const { links, read } = createWorld();
  links.down.add(S2);
  expect(await read(S1, S2)).toEqual({ code: "shard-unavailable", outcome: "not_started" });
  expect(links.sent).toEqual([]);
});
