/**
 * The port over a `MemoryDatabase`, as one participant process is connected to it: `disconnect` is what the database sees
 * when that process dies.
 */
import type { GlobalId, TransactionId, Xid } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import { MemoryBackend } from "./memory-backend.ts";
import type { MemoryDatabase, MemoryTransaction } from "./memory-database.ts";
import type { MemoryEffect, MemoryHooks } from "./memory-hooks.ts";
import { MemorySession } from "./memory-session.ts";
import {
  type FinishOutcome,
  type LockWait,
  type PreparedOnShard,
  type Receipt,
  type SessionOptions,
  type Shard,
  type ShardSession,
  ShardUnreachable,
  type XidStatus,
} from "./shard.ts";
import { chainWaits } from "./wait-chains.ts";

export class MemoryShard implements Shard {
  readonly #database: MemoryDatabase;
  readonly #hooks: MemoryHooks;
  readonly #clock: Clock;
  readonly #mine = new Set<MemoryBackend>();
  readonly #sessions = new Map<MemoryTransaction, MemorySession>();
  readonly #lost = new Set<MemoryBackend>();
  #isConnected = true;

  constructor(database: MemoryDatabase, hooks: MemoryHooks, clock: Clock) {
    this.#database = database;
    this.#hooks = hooks;
    this.#clock = clock;
  }

  async begin(options: SessionOptions): Promise<ShardSession> {
    const backend = this.#connect();
    try {
      await backend.run("begin", () => undefined);
    } catch (error) {
      backend.lose();
      throw error;
    }
    const onLost = (): void => {
      this.#lost.add(backend);
      backend.lose();
    };
    const session = new MemorySession(this.#database, backend, this.#clock, options, onLost);
    if (this.#mine.has(backend)) this.#sessions.set(backend.transaction, session);
    return session;
  }

  async lockWaits(runningForMs: number): Promise<readonly LockWait[]> {
    const beforeMs = this.#clock.monotonicMs() - runningForMs;
    const sessions = [...this.#sessions.values()];
    if (!sessions.some(({ runningSinceMs }) => runningSinceMs <= beforeMs)) return [];
    return this.#ask("waits", () => this.#lockWaits());
  }

  #lockWaits(): readonly LockWait[] {
    const gids = new Map([...this.#database.prepared].map(([gid, prepared]) => [prepared, gid]));
    const isOurs = (node: MemoryTransaction): boolean => gids.has(node) || this.#sessions.has(node);
    const chained = chainWaits(this.#database.waits(), isOurs, Infinity);
    return chained.flatMap(({ waiter, holder, evidence }): LockWait[] => {
      const [session, other, gid] = [
        this.#sessions.get(waiter),
        this.#sessions.get(holder),
        gids.get(holder),
      ];
      if (session === undefined) return [];
      if (gid !== undefined)
        return [{ waiter: session, holder: { kind: "prepared", gid }, evidence }];
      if (other === undefined) return [];
      return [{ waiter: session, holder: { kind: "session", session: other }, evidence }];
    });
  }

  commitPrepared(gid: GlobalId): Promise<FinishOutcome> {
    return this.#finish("commitPrepared", gid, (transaction) => {
      this.#database.commit(transaction);
    });
  }

  rollbackPrepared(gid: GlobalId): Promise<FinishOutcome> {
    return this.#finish("rollbackPrepared", gid, (transaction) => {
      this.#database.rollback(transaction);
    });
  }

  #finish(
    effect: "commitPrepared" | "rollbackPrepared",
    gid: GlobalId,
    end: (transaction: MemoryTransaction) => void,
  ): Promise<FinishOutcome> {
    return this.#ask(effect, (): FinishOutcome => {
      const transaction = this.#database.prepared.get(gid);
      if (transaction === undefined) return { kind: "doesNotExist" };
      this.#database.prepared.delete(gid);
      end(transaction);
      return { kind: "finished", warnings: [] };
    });
  }

  listPrepared(prefix: string): Promise<readonly PreparedOnShard[]> {
    return this.#ask("list", () =>
      [...this.#database.prepared].flatMap(([gid, { xid }]) =>
        gid.startsWith(prefix) && xid !== null ? [{ gid, xid }] : [],
      ),
    );
  }

  xidStatus(xid: Xid): Promise<XidStatus> {
    return this.#ask("status", () => this.#database.xidStatus(xid));
  }

  fence(): Promise<void> {
    if (this.#lost.size === 0) return Promise.resolve();
    return this.#ask("fence", () => {
      for (const backend of this.#lost) backend.end();
      this.#lost.clear();
    });
  }

  findReceiptByKey(key: string): Promise<Receipt | undefined> {
    return this.#ask("receipt", () => this.#database.receiptByKey(key));
  }

  get keysForgottenUpToMs(): number {
    return this.#database.keysForgottenUpToMs;
  }

  settleReceipt(transactionId: TransactionId): Promise<Receipt> {
    return this.#ask("receipt", () => {
      const known = this.#database.receipts.get(transactionId);
      if (known !== undefined) return known;
      const tombstone: Receipt = {
        transactionId,
        idempotencyKey: null,
        fingerprint: null,
        results: null,
      };
      this.#database.receipts.set(transactionId, tombstone);
      return tombstone;
    });
  }

  /** The participant's process is gone: its sessions end, and whatever it still asks for fails. */
  disconnect(): void {
    this.#isConnected = false;
    for (const backend of this.#mine) backend.lose();
  }

  async #ask<Result>(effect: MemoryEffect, act: () => Result): Promise<Result> {
    const backend = this.#connect();
    try {
      return await backend.run(effect, act);
    } finally {
      backend.lose();
    }
  }

  #connect(): MemoryBackend {
    if (!this.#isConnected || !this.#database.isUp) {
      throw new ShardUnreachable("the server does not answer");
    }
    const backend = new MemoryBackend(this.#database, this.#hooks, (ended) => {
      this.#mine.delete(ended);
      this.#sessions.delete(ended.transaction);
    });
    this.#mine.add(backend);
    return backend;
  }
}
