/**
 * Transactions on this shard alone: executed and committed here, with a receipt in the same local transaction.
 *
 * The receipt makes the outcome unambiguous. Its transaction id answers `settle` after a lost reply; its idempotency key
 * answers a second attempt. Attempts under one key run one after the other (leaders change faster than transactions end),
 * and one that fails looks for the receipt of another before it says no: "no" means that nothing happened under this
 * key, nor will: an earlier attempt that arrives only then is not run. Where two run together all the same, behind two
 * participant processes, the unique key lets only one commit.
 */
import { assert } from "../../shared/model/assert.ts";
import type { OperationResult } from "../../shared/model/api.ts";
import { isExpiredKey } from "../../shared/model/idempotency-key.ts";
import type { CarrierId, TransactionId } from "../../shared/model/ids.ts";
import type { Logger } from "../../shared/model/ports.ts";
import type {
  ExecuteOnePhaseRequest,
  Idempotency,
  OnePhaseReply,
  Refusal,
  SettleReply,
  SettleRequest,
} from "../../shared/model/protocol.ts";
import { type Receipt, type Shard, type ShardSession, ShardUnreachable } from "../shard/shard.ts";
import type { CarrierMemory } from "./carrier-memory.ts";
import { LINK_LOST } from "./refusals.ts";
import { RefusedKeys } from "./refused-keys.ts";
import { type JudgedExecution, judgeExecution, refusalFromServer } from "./judgement.ts";
import { operationsOf, refusalFromThrown, resultsByMember } from "./runner.ts";

export interface OnePhaseOptions {
  readonly shard: Shard;
  readonly carriers: CarrierMemory;
  readonly logger: Logger;
  readonly overloaded: () => Refusal | undefined;
}

interface Running {
  readonly linkId: string;
  readonly carrierId: CarrierId;
  session: ShardSession | undefined;
  /** Why it is to end as soon as it can. */
  stop: Refusal | undefined;
  reply: Promise<OnePhaseReply>;
}

const MET_BEFORE: OnePhaseReply = {
  kind: "unknown",
  sentence: "the transaction was run before, or a leader with a higher ballot has spoken",
};
const SETTLED: Refusal = {
  code: "transaction-timeout",
  sentence: "the transaction was settled before it committed",
};
const EXPIRED: Refusal = {
  code: "idempotency-key-expired",
  sentence: "the key is older than the receipts that are kept: whether it was used cannot be told",
};

export class OnePhase {
  readonly #options: OnePhaseOptions;
  readonly #running = new Map<TransactionId, Running>();
  /** The last attempt under each key. */
  readonly #byKey = new Map<string, Running>();
  readonly #settling = new Map<TransactionId, Promise<SettleReply>>();
  readonly #refusedKeys = new RefusedKeys();

  constructor(options: OnePhaseOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#running.size;
  }

  /** What runs now, and on which session. */
  sessions(): readonly (readonly [ShardSession, CarrierId])[] {
    return [...this.#running.values()].flatMap(({ session, carrierId }) =>
      session === undefined ? [] : [[session, carrierId] as const],
    );
  }

  execute(linkId: string, request: ExecuteOnePhaseRequest): Promise<OnePhaseReply> {
    const { carriers } = this.#options;
    const [member] = request.members;
    assert(member !== undefined && request.members.length === 1, "one-phase has one member");
    const same = this.#running.get(member.transactionId);
    if (same !== undefined) return same.reply;
    // Not "no": a repeated or late request must not deny what the first one did.
    const isLate = this.#refusedKeys.isBehind(request.idempotency?.key, request.carrierId);
    if (!carriers.meet(request.carrierId) || isLate) return Promise.resolve(MET_BEFORE);
    const overloaded = this.#options.overloaded();
    if (overloaded !== undefined) return this.#refusedInTurn(overloaded, request);
    const running: Running = {
      linkId,
      carrierId: request.carrierId,
      session: undefined,
      stop: undefined,
      reply: no(SETTLED),
    };
    const { transactionId } = member;
    this.#running.set(transactionId, running);
    running.reply = this.#runInTurn(running, transactionId, request).finally(() => {
      this.#running.delete(transactionId);
    });
    return running.reply;
  }

  async #runInTurn(
    running: Running,
    transactionId: TransactionId,
    request: ExecuteOnePhaseRequest,
  ): Promise<OnePhaseReply> {
    const key = request.idempotency?.key;
    if (key === undefined) return this.#run(running, transactionId, request);
    const earlier = this.#byKey.get(key);
    this.#byKey.set(key, running);
    try {
      await earlier?.reply;
      return await this.#run(running, transactionId, request);
    } finally {
      if (this.#byKey.get(key) === running) this.#byKey.delete(key);
    }
  }

  async #run(
    running: Running,
    transactionId: TransactionId,
    request: ExecuteOnePhaseRequest,
  ): Promise<OnePhaseReply> {
    const { idempotency, isolation, timeoutMs } = request;
    try {
      // A commit that was lost sight of lands now or never: landing later, beside this attempt, it could leave it nothing to
      // write, and so another answer than its receipt's.
      if (idempotency !== null) await this.#options.shard.fence();
      const session = await this.#options.shard.begin({ isolation, timeoutMs });
      running.session = session;
      const execution = running.stop ?? (await this.#executed(session, request, idempotency?.key));
      const judged: JudgedExecution =
        "code" in execution ? { kind: "refused", refusal: execution, results: [] } : execution;
      const refused = judged.kind === "refused" ? judged.refusal : this.#expiry(request);
      const refusal = running.stop ?? refused;
      if (refusal !== undefined || judged.kind === "refused") {
        await session.rollback();
        if (judged.receipt !== undefined) return replay(judged.receipt, idempotency);
        return await this.#refused(refusal ?? SETTLED, request);
      }
      return await this.#commit(
        session,
        transactionId,
        request,
        judged.xid !== null,
        judged.results,
      );
    } catch (error) {
      return this.#refused(refusalFromThrown(error), request);
    }
  }

  /**
   * Looked at when the receipt has been looked up and was not there: had it been deleted meanwhile, the time of that is
   * known by now.
   */
  #expiry({ idempotency, isKeyExpired }: ExecuteOnePhaseRequest): Refusal | undefined {
    if (idempotency === null) return undefined;
    return isKeyExpired || this.#isExpired(idempotency.key) ? EXPIRED : undefined;
  }

  #isExpired(key: string): boolean {
    return isExpiredKey(key, this.#options.shard.keysForgottenUpToMs);
  }

  async #executed(
    session: ShardSession,
    { members }: ExecuteOnePhaseRequest,
    idempotencyKey: string | undefined,
  ): Promise<JudgedExecution> {
    const operations = operationsOf(members);
    const keys = idempotencyKey === undefined ? [] : [idempotencyKey];
    return judgeExecution(await session.execute(operations, keys), operations);
  }

  async #commit(
    session: ShardSession,
    transactionId: TransactionId,
    request: ExecuteOnePhaseRequest,
    hasWritten: boolean,
    results: readonly OperationResult[],
  ): Promise<OnePhaseReply> {
    const { members, idempotency } = request;
    const receipt: Receipt = {
      transactionId,
      idempotencyKey: idempotency?.key ?? null,
      fingerprint: idempotency?.fingerprint ?? null,
      results,
    };
    let outcome;
    try {
      outcome = await session.commit(hasWritten ? receipt : null);
    } catch (error) {
      const { sentence } = refusalFromThrown(error);
      return { kind: "unknown", sentence: `the commit was not answered: ${sentence}` };
    }
    if (outcome.kind === "conflict") return this.#refused(SETTLED, request);
    if (outcome.kind === "failed") {
      return this.#refused(refusalFromServer(outcome, "commit"), request);
    }
    const byMember = resultsByMember(members, results);
    if (!hasWritten) return { kind: "readOnly", results: byMember };
    const [warning] = outcome.warnings;
    if (warning !== undefined) {
      // Committed here, but perhaps not where a failover would look for it: settling waits for that.
      return { kind: "unknown", sentence: `committed with a warning: ${warning}` };
    }
    return { kind: "committed", transactionId, results: byMember, replayed: false };
  }

  /** As `#refused`, but after the attempts under the same key that still run. */
  async #refusedInTurn(refusal: Refusal, request: ExecuteOnePhaseRequest): Promise<OnePhaseReply> {
    const { idempotency } = request;
    if (idempotency !== null) await this.#byKey.get(idempotency.key)?.reply;
    return this.#refused(refusal, request);
  }

  /**
   * No, unless another attempt under the same key has committed; unknown, if that cannot be found out. An expired key is what
   * the no is about, whatever this attempt failed of: that may be what the first one did.
   */
  async #refused(refusal: Refusal, request: ExecuteOnePhaseRequest): Promise<OnePhaseReply> {
    const { idempotency, carrierId } = request;
    if (idempotency === null) return { kind: "no", refusal };
    try {
      const receipt = await this.#lastWordUnder(idempotency.key);
      if (receipt !== undefined) return replay(receipt, idempotency);
      this.#refusedKeys.add(idempotency.key, carrierId);
      return { kind: "no", refusal: this.#expiry(request) ?? refusal };
    } catch (error) {
      const { sentence } = refusalFromThrown(error);
      return { kind: "unknown", sentence: `earlier attempts cannot be looked up: ${sentence}` };
    }
  }

  /** The receipt under the key, when no session that was lost sight of can still leave one. */
  async #lastWordUnder(key: string): Promise<Receipt | undefined> {
    await this.#options.shard.fence();
    return this.#options.shard.findReceiptByKey(key);
  }

  /**
   * Whether the transaction committed; if it did not, it never will: the tombstone sees to that, also when it comes only
   * then. The carrier is not met by this: anybody may ask about an id that no leader has made, or not yet.
   */
  settle(request: SettleRequest): Promise<SettleReply> {
    const { transactionId } = request;
    const same = this.#settling.get(transactionId);
    if (same !== undefined) return same;
    const settling = this.#settle(request).finally(() => {
      this.#settling.delete(transactionId);
    });
    this.#settling.set(transactionId, settling);
    return settling;
  }

  async #settle({ transactionId, carrierId, idempotencyKey }: SettleRequest): Promise<SettleReply> {
    const { shard, logger } = this.#options;
    const running = this.#running.get(transactionId);
    if (running !== undefined) {
      stop(running, SETTLED);
      await running.reply;
    }
    try {
      const receipt = await shard.settleReceipt(transactionId);
      if (receipt === "forgotten") {
        return { kind: "retry", sentence: "the transaction is older than the receipts kept" };
      }
      if (receipt.results !== null) return { kind: "committed", results: [[...receipt.results]] };
      return await this.#earlierAttempt(carrierId, idempotencyKey);
    } catch (error) {
      if (!(error instanceof ShardUnreachable)) throw error;
      logger.debug({ transactionId, sentence: error.message }, "not settled yet");
      return { kind: "retry", sentence: error.message };
    }
  }

  async #earlierAttempt(
    carrierId: CarrierId,
    idempotencyKey: string | undefined,
  ): Promise<SettleReply> {
    if (idempotencyKey === undefined) return { kind: "aborted" };
    await this.#byKey.get(idempotencyKey)?.reply;
    const receipt = await this.#lastWordUnder(idempotencyKey);
    if (receipt === undefined || receipt.results === null) {
      this.#refusedKeys.add(idempotencyKey, carrierId);
      if (!this.#isExpired(idempotencyKey)) return { kind: "aborted" };
      return { kind: "retry", sentence: EXPIRED.sentence };
    }
    const { transactionId, results } = receipt;
    return { kind: "committed", results: [[...results]], transactionId };
  }

  /** Resolves when everything that runs now has ended. */
  async ended(): Promise<void> {
    await Promise.allSettled([...this.#running.values()].map(({ reply }) => reply));
  }

  linkLost(linkId: string): void {
    for (const running of this.#running.values()) {
      if (running.linkId === linkId) stop(running, LINK_LOST);
    }
  }

  stopAll(refusal: Refusal): void {
    for (const running of this.#running.values()) stop(running, refusal);
  }
}

function stop(running: Running, refusal: Refusal): void {
  running.stop ??= refusal;
  running.session?.interrupt();
}

function no(refusal: Refusal): Promise<OnePhaseReply> {
  return Promise.resolve({ kind: "no", refusal });
}

function replay(receipt: Receipt, idempotency: Idempotency | null): OnePhaseReply {
  assert(receipt.results !== null, "a receipt with a key has results");
  if (receipt.fingerprint !== idempotency?.fingerprint) {
    const sentence = "the idempotency key was used before with another body";
    return { kind: "no", refusal: { code: "idempotency-key-reused", sentence } };
  }
  const { transactionId, results } = receipt;
  return { kind: "committed", transactionId, results: [[...results]], replayed: true };
}
