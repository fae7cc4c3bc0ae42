/**
 * A transaction on a single shard: that shard alone decides, in one local commit which also holds a receipt (idempotency
 * key, results). A lost reply is therefore not a lost answer: `settle` reads the receipt, or leaves a tombstone that
 * keeps the transaction from ever committing. No entry in the decision log, no second phase.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type {
  OperationResult,
  TransactionRequest,
  TransactionResponse,
} from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { Ballot, CarrierId, ShardId, TransactionId } from "../../shared/model/ids.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";
import type {
  Idempotency,
  OnePhaseReply,
  SettleReply,
  SettleRequest,
} from "../../shared/model/protocol.ts";
import { LinkDown, type ParticipantLinks } from "../transport/participant-link.ts";
import { keyExpired, operationsByShard, refusalError } from "./answer.ts";
import type { SubmissionAnswer } from "./gateway.ts";

const ONE_PHASE_LIMITS = {
  /** How long after the deadline the shard's reply is still awaited. */
  replyGraceMs: 1_000,
  settleTimeoutMs: 2_000,
  settleIntervalMs: 100,
} as const;

export interface OnePhaseTransaction {
  readonly ballot: Ballot;
  readonly carrierId: CarrierId;
  readonly transactionId: TransactionId;
  readonly shard: ShardId;
  readonly request: TransactionRequest;
  readonly idempotency: Idempotency | null;
  /** The ledger may have forgotten an answer under the key: only a receipt answers then. */
  readonly isKeyExpired: boolean;
}

export interface OnePhaseOptions {
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class OnePhase {
  readonly #options: OnePhaseOptions;
  readonly #active = new Set<TransactionId>();

  constructor(options: OnePhaseOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#active.size;
  }

  holds(transactionId: TransactionId): boolean {
    return this.#active.has(transactionId);
  }

  active(): Iterable<TransactionId> {
    return this.#active;
  }

  async run(transaction: OnePhaseTransaction): Promise<SubmissionAnswer> {
    this.#active.add(transaction.transactionId);
    try {
      return await this.#run(transaction);
    } finally {
      this.#active.delete(transaction.transactionId);
    }
  }

  async #run(transaction: OnePhaseTransaction): Promise<SubmissionAnswer> {
    const { links, clock, logger } = this.#options;
    const { shard, transactionId, carrierId, ballot, request, idempotency } = transaction;
    const startedAtMs = clock.monotonicMs();
    const operations = [...(operationsByShard(request).get(shard) ?? [])];
    const members = [{ transactionId, operations }];
    const bootId = links.connected(shard)?.bootId ?? "";
    const { isolation, timeoutMs } = request;
    const execution = {
      ...{ ballot, carrierId, bootId, isolation, timeoutMs, members, idempotency },
      isKeyExpired: transaction.isKeyExpired,
    };
    let reply: OnePhaseReply;
    try {
      const waitMs = timeoutMs + ONE_PHASE_LIMITS.replyGraceMs;
      reply = await links.request(shard, { kind: "executeOnePhase", ...execution }, waitMs);
    } catch (error) {
      if (error instanceof LinkDown) throw notReached(shard, transactionId, error);
      logger.debug({ error, shard, transactionId }, "one-phase reply lost");
      reply = { kind: "unknown", sentence: "the reply was lost" };
    }
    switch (reply.kind) {
      case "committed":
        return answered(reply.transactionId, reply.results[0] ?? [], reply.replayed);
      case "readOnly":
        return { response: committed(transactionId, reply.results[0] ?? []), replayed: false };
      case "no":
        throw refusalError(shard, reply.refusal, transactionId);
      case "unknown":
        return this.#settled(transaction, startedAtMs + timeoutMs);
      default:
        return unreachable(reply);
    }
  }

  /** Asks until the shard tells, at least once, and not beyond the deadline. */
  async #settled(transaction: OnePhaseTransaction, deadlineMs: number): Promise<SubmissionAnswer> {
    const { shard, transactionId, carrierId, idempotency } = transaction;
    for (;;) {
      const reply = await this.settle(shard, transactionId, carrierId, idempotency?.key);
      if (reply.kind === "committed") {
        const earlier = reply.transactionId;
        return answered(earlier ?? transactionId, reply.results[0] ?? [], earlier !== undefined);
      }
      if (reply.kind === "aborted" && transaction.isKeyExpired) throw keyExpired();
      if (reply.kind === "aborted") {
        throw new SynodError("shard-unavailable", `shard ${shard} lost the transaction`, {
          shard,
          transactionId,
        });
      }
      if (this.#options.clock.monotonicMs() >= deadlineMs) {
        throw new SynodError("outcome-unknown", `shard ${shard} has not told the outcome yet`, {
          shard,
          transactionId,
        });
      }
      await this.#pause();
    }
  }

  /**
   * Whether a one-phase transaction committed; if it did not, after "aborted" it never will. With a key: nor did any
   * earlier attempt under that key.
   */
  async settle(
    shard: ShardId,
    transactionId: TransactionId,
    carrierId: CarrierId,
    idempotencyKey?: string,
  ): Promise<SettleReply> {
    const { links, logger } = this.#options;
    try {
      const request: SettleRequest = {
        kind: "settle",
        transactionId,
        carrierId,
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      };
      return await links.request(shard, request, ONE_PHASE_LIMITS.settleTimeoutMs);
    } catch (error) {
      logger.debug({ error, shard, transactionId }, "not settled");
      return { kind: "retry", sentence: `shard ${shard} did not answer` };
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(ONE_PHASE_LIMITS.settleIntervalMs, resolve);
    });
  }
}

function answered(
  id: TransactionId,
  results: readonly OperationResult[],
  replayed: boolean,
): SubmissionAnswer {
  return { response: committed(id, results), replayed, isKeptByShard: true };
}

function committed(id: TransactionId, results: readonly OperationResult[]): TransactionResponse {
  return { id, outcome: "committed", results, pendingShards: [] };
}

function notReached(shard: ShardId, transactionId: TransactionId, cause: unknown): SynodError {
  // Of earlier attempts under the same key nothing is known here, so it must not be called aborted.
  const detail = { shard, transactionId, outcome: "not_started" } as const;
  return new SynodError("shard-unavailable", `shard ${shard} cannot be reached`, detail, cause);
}
