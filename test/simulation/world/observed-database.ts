/** The twin of a database, watched: how each prepared branch ends, and what the books hold. */
import { parseGlobalId } from "../../../shared/model/global-id.ts";
import type { CarrierId, ClusterId, GlobalId } from "../../../shared/model/ids.ts";
import { MemoryBackend } from "../../../participant/shard/memory-backend.ts";
import {
  MemoryDatabase,
  type MemoryTransaction,
} from "../../../participant/shard/memory-database.ts";
import type { EndedBranch, PreparedBranch, ShardBooks } from "../checkers/audit.ts";
import type { Party, TruthfulWait } from "../checkers/deadlocks.ts";
import { isMark, markOf, MARK_PREFIX } from "../clients/statements.ts";

export class ObservedDatabase extends MemoryDatabase implements ShardBooks {
  readonly shard: string;
  readonly #clusterId: ClusterId;
  readonly #onPrepared: (branch: PreparedBranch) => void;
  readonly #onEnded: (branch: EndedBranch) => void;
  readonly #gids = new Map<MemoryTransaction, GlobalId>();
  readonly #carriers = new WeakMap<MemoryTransaction, CarrierId>();
  /** A transaction has begun to wait for a lock. */
  onWait: (waiter: Party) => void = () => undefined;
  #isSabotage = false;

  constructor(
    shard: string,
    clusterId: ClusterId,
    onPrepared: (branch: PreparedBranch) => void,
    onEnded: (branch: EndedBranch) => void,
  ) {
    super();
    this.#onPrepared = onPrepared;
    this.shard = shard;
    this.#clusterId = clusterId;
    this.#onEnded = onEnded;
  }

  /** The transactions that `act` begins before it first waits for anything are the carrier's. */
  during<Result>(carrierId: CarrierId, act: () => Result): Result {
    const before = new Set(this.processes);
    const result = act();
    for (const process of this.processes) {
      if (before.has(process) || !(process instanceof MemoryBackend)) continue;
      this.#carriers.set(process.transaction, carrierId);
    }
    return result;
  }

  truthfulWaits(): readonly TruthfulWait[] {
    return this.waits().map(({ waiter, holders }) => ({
      waiter: this.#partyOf(waiter),
      holders: holders.map((holder) => this.#partyOf(holder)),
    }));
  }

  #partyOf(transaction: MemoryTransaction): Party {
    return this.#carriers.get(transaction) ?? transaction;
  }

  override lock(transaction: MemoryTransaction, row: string, grant: () => void): () => void {
    let isGranted = false;
    const giveUp = super.lock(transaction, row, () => {
      isGranted = true;
      grant();
    });
    // The database may have granted it meanwhile.
    if (!(isGranted as boolean)) this.onWait(this.#partyOf(transaction));
    return giveUp;
  }

  override prepare(gid: GlobalId, transaction: MemoryTransaction): void {
    super.prepare(gid, transaction);
    this.#gids.set(transaction, gid);
    this.#onPrepared({ shard: this.shard, gid, xid: transaction.xid });
  }

  override commit(transaction: MemoryTransaction): void {
    super.commit(transaction);
    this.#ended(transaction, "committed");
  }

  override rollback(transaction: MemoryTransaction): void {
    super.rollback(transaction);
    this.#ended(transaction, this.#isSabotage ? "sabotaged" : "rolledBack");
  }

  #ended(transaction: MemoryTransaction, how: EndedBranch["how"]): void {
    const gid = this.#gids.get(transaction);
    if (gid === undefined) return;
    this.#gids.delete(transaction);
    const carrierId = parseGlobalId(this.#clusterId, gid)?.carrier ?? "";
    this.#onEnded({ shard: this.shard, gid, carrierId, how });
  }

  /** Ends every session, as a participant that starts does with those of its predecessors. */
  terminateSessions(): void {
    const processes = [...this.processes];
    this.processes.clear();
    for (const process of processes) process.kill();
    for (const process of processes) process.cleanUp();
  }

  /** Somebody rolls a prepared branch back by hand, behind the participant's back. */
  sabotage(gid: GlobalId): void {
    const transaction = this.prepared.get(gid);
    if (transaction === undefined) return;
    this.prepared.delete(gid);
    this.#isSabotage = true;
    this.rollback(transaction);
    this.#isSabotage = false;
  }

  marksOf(call: string): number {
    return Number(this.items.get(markOf(call)) ?? 0n);
  }

  markedCalls(): readonly string[] {
    return [...this.items].flatMap(([id, count]) =>
      isMark(id) && count > 0n ? [id.slice(MARK_PREFIX.length)] : [],
    );
  }

  total(): number {
    let total = 0;
    for (const [id, value] of this.items) if (!isMark(id)) total += Number(value);
    return total;
  }

  preparedGids(): readonly GlobalId[] {
    return [...this.prepared.keys()];
  }
}
