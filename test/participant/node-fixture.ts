/** A participant on the twin of a database, with time and coordinators in the test's hand. */
import type { OutcomeInquirer } from "../../participant/branches/outcome-inquirer.ts";
import {
  createParticipantNode,
  DEFAULT_PARTICIPANT_LIMITS,
  type ParticipantLimits,
  type ParticipantNode,
} from "../../participant/participant-node.ts";
import { MemoryDatabase } from "../../participant/shard/memory-database.ts";
import type {
  MemoryHooks,
  MemoryPoint,
  MemoryVerdict,
} from "../../participant/shard/memory-hooks.ts";
import { MemoryShard } from "../../participant/shard/memory-shard.ts";
import type { Shard } from "../../participant/shard/shard.ts";
import { globalId } from "../../shared/model/global-id.ts";
import {
  ballot,
  carrierId,
  clusterId,
  type GlobalId,
  nodeId,
  onePhaseTransactionId,
  shardId,
  type TransactionId,
} from "../../shared/model/ids.ts";
import type { Logger } from "../../shared/model/ports.ts";
import type { BranchOutcome, OutcomeInquiry } from "../../shared/model/inquiry.ts";
import type {
  BranchAction,
  BranchOperation,
  ExecuteOnePhaseRequest,
  ExecuteRequest,
  KeyedMember,
  PrepareRequest,
  StatementRequest,
} from "../../shared/model/protocol.ts";
import { fixedRandom, TestClock } from "./test-clock.ts";

export const CLUSTER = clusterId("test");
export const SHARD = shardId("s1");
const BOOT = "boot-1";
export const LINK = "link-1";

export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export const ballotOf = (round: number) => ballot(round, nodeId(1));

export const gidOf = (sequence: number, round = 1): GlobalId =>
  globalId(CLUSTER, carrierId(ballotOf(round), sequence), SHARD);

export const transactionIdOf = (sequence: number, round = 1): TransactionId =>
  onePhaseTransactionId(ballotOf(round), sequence, "12345678", SHARD);

export function executeRequest(
  sequence: number,
  operations: readonly BranchOperation[],
  more: Partial<ExecuteRequest> = {},
): ExecuteRequest {
  return {
    kind: "execute",
    ballot: ballotOf(1),
    carrierId: carrierId(ballotOf(1), sequence),
    gid: gidOf(sequence),
    bootId: BOOT,
    isolation: "read committed",
    timeoutMs: 1_000,
    members: [memberOf(sequence, operations)],
    ...more,
  };
}

export function memberOf(
  sequence: number,
  operations: readonly BranchOperation[],
  idempotencyKey: string | null = null,
): KeyedMember {
  return { transactionId: transactionIdOf(sequence), operations: [...operations], idempotencyKey };
}

export function onePhaseRequest(
  sequence: number,
  operations: readonly BranchOperation[],
  key?: string,
  more: Partial<ExecuteOnePhaseRequest> = {},
): ExecuteOnePhaseRequest {
  return {
    kind: "executeOnePhase",
    ballot: ballotOf(1),
    carrierId: carrierId(ballotOf(1), sequence),
    bootId: BOOT,
    isolation: "read committed",
    timeoutMs: 1_000,
    members: [{ transactionId: transactionIdOf(sequence), operations: [...operations] }],
    idempotency: key === undefined ? null : { key, fingerprint: `print of ${key}` },
    isKeyExpired: false,
    ...more,
  };
}

export function statementRequest(
  sequence: number,
  seq: number,
  action: BranchAction,
  more: Partial<StatementRequest> = {},
): StatementRequest {
  return {
    kind: "statement",
    ballot: ballotOf(1),
    carrierId: carrierId(ballotOf(1), sequence),
    gid: gidOf(sequence),
    bootId: BOOT,
    isolation: "read committed",
    timeoutMs: 60_000,
    silenceLimitMs: 10_000,
    seq,
    opens: seq === 1 ? { savepoints: [] } : null,
    outlivesFailure: false,
    action,
    ...more,
  };
}

export function prepareRequest(
  sequence: number,
  more: Partial<PrepareRequest> = {},
): PrepareRequest {
  return {
    kind: "prepare",
    ballot: ballotOf(1),
    carrierId: carrierId(ballotOf(1), sequence),
    gid: gidOf(sequence),
    bootId: BOOT,
    timeoutMs: 1_000,
    ...more,
  };
}

export class TestInquirer implements OutcomeInquirer {
  coordinators = 1;
  readonly asked: OutcomeInquiry[] = [];
  /** Undefined: nobody answers. */
  answer: BranchOutcome | undefined = { kind: "undecided" };

  ask(inquiry: OutcomeInquiry): Promise<readonly BranchOutcome[]> {
    this.asked.push(inquiry);
    const { answer } = this;
    if (answer === undefined) return Promise.reject(new Error("nobody answers"));
    return Promise.resolve(inquiry.branches.map(() => answer));
  }
}

/** Does as told at points, and waits at those that are held. */
export class TestHooks implements MemoryHooks {
  readonly verdicts = new Map<MemoryPoint, MemoryVerdict>();
  readonly reached: MemoryPoint[] = [];
  readonly #held = new Map<MemoryPoint, Promise<void>>();

  async hook(point: MemoryPoint): Promise<MemoryVerdict> {
    this.reached.push(point);
    await this.#held.get(point);
    return this.verdicts.get(point) ?? "ok";
  }

  /** Returns how to let go. */
  hold(point: MemoryPoint): () => void {
    let release = (): void => undefined;
    this.#held.set(
      point,
      new Promise((resolve) => {
        release = resolve;
      }),
    );
    return () => {
      this.#held.delete(point);
      release();
    };
  }
}

export interface NodeFixture {
  readonly clock: TestClock;
  readonly database: MemoryDatabase;
  readonly hooks: TestHooks;
  readonly inquirer: TestInquirer;
  readonly node: ParticipantNode;
  /** The participant's process dies and another one starts on the same database. */
  readonly restart: (bootId: string) => ParticipantNode;
}

export function createNode(
  limits: Partial<ParticipantLimits> = {},
  decorate: (shard: Shard) => Shard = (shard) => shard,
): NodeFixture {
  const clock = new TestClock();
  const database = new MemoryDatabase();
  for (const id of ["a", "b"]) database.items.set(id, 100n);
  const hooks = new TestHooks();
  const inquirer = new TestInquirer();
  let shard: MemoryShard | undefined;
  const start = (bootId: string): ParticipantNode => {
    shard?.disconnect();
    shard = new MemoryShard(database, hooks, clock);
    return createParticipantNode({
      ...{ clusterId: CLUSTER, shardId: SHARD, bootId, shard: decorate(shard), inquirer, clock },
      ...{ random: fixedRandom, logger: silent },
      limits: { ...DEFAULT_PARTICIPANT_LIMITS, drainTimeoutMs: 0, ...limits },
    });
  };
  return { clock, database, hooks, inquirer, node: start(BOOT), restart: start };
}
