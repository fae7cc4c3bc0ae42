/**
 * What a Postgres server keeps, in memory: rows, row locks, transactions, prepared transactions, receipts. The twin of a
 * database for the simulator and for tests of the branch services; only the semantics that the commit protocol can see
 * are there, and those are held to the same contract tests as the real adapter.
 *
 * Tables: items(id text primary key, value bigint check (value >= 0)), entries(id text primary key, note text).
 */
import { assert } from "../../shared/model/assert.ts";
import type { GlobalId, TransactionId, Xid } from "../../shared/model/ids.ts";
import type { Receipt, XidStatus } from "./shard.ts";
import type { ServerWait } from "./wait-chains.ts";

/** One server-side transaction. It outlives its session only when it is prepared. */
export class MemoryTransaction {
  xid: Xid | null = null;
  state: "active" | "prepared" | "ended" = "active";
  readonly items = new Map<string, bigint>();
  readonly entries = new Map<string, string>();
  readonly locks = new Set<string>();
  /** What it sees of others, once it has looked; undefined sees what is committed at each moment. */
  sees: MemoryImage | undefined;
  /** After an error only a rollback is possible, or one to a savepoint. */
  failed = false;
  /** The oldest first. */
  readonly savepoints: Savepoint[] = [];

  setSavepoint(name: string): void {
    const { items, entries, locks } = this;
    this.savepoints.push({
      ...{ name, items: new Map(items), entries: new Map(entries), locks: new Set(locks) },
    });
  }

  /** Undefined when no savepoint of that name is set. */
  findSavepoint(name: string): number | undefined {
    const found = this.savepoints.findLastIndex((savepoint) => savepoint.name === name);
    return found < 0 ? undefined : found;
  }
}

/** What was committed at one moment. */
export interface MemoryImage {
  readonly items: ReadonlyMap<string, bigint>;
  readonly entries: ReadonlyMap<string, string>;
  /** How often each item had been written. */
  readonly versions: ReadonlyMap<string, number>;
}

/** What the transaction had written and locked when it was set. */
interface Savepoint {
  readonly name: string;
  readonly items: ReadonlyMap<string, bigint>;
  readonly entries: ReadonlyMap<string, string>;
  readonly locks: ReadonlySet<string>;
}

/** A server process, as the server sees it. */
export interface ServerProcess {
  /** From now on it does nothing more, and waits for nothing. */
  kill(): void;
  /** Rolls back what it had open. */
  cleanUp(): void;
}

interface Waiter {
  readonly transaction: MemoryTransaction;
  /** Never used again. */
  readonly name: string;
  readonly grant: () => void;
}

export class MemoryDatabase implements MemoryImage {
  readonly items = new Map<string, bigint>();
  readonly entries = new Map<string, string>();
  readonly versions = new Map<string, number>();
  readonly receipts = new Map<TransactionId, Receipt>();
  /** Here nothing is deleted but by hand. */
  keysForgottenUpToMs = 0;
  readonly prepared = new Map<GlobalId, MemoryTransaction>();
  readonly processes = new Set<ServerProcess>();
  readonly #statuses = new Map<Xid, XidStatus>();
  readonly #locks = new Map<string, MemoryTransaction>();
  readonly #waiters = new Map<string, Waiter[]>();
  #lastXid = 700n;
  #lastWait = 0;
  #isUp = true;

  get isUp(): boolean {
    return this.#isUp;
  }

  /** All sessions end and their transactions with them; what is prepared stays, locks included. */
  crash(): void {
    this.#isUp = false;
    const processes = [...this.processes];
    this.processes.clear();
    for (const process of processes) process.kill();
    for (const process of processes) process.cleanUp();
  }

  restart(): void {
    this.#isUp = true;
  }

  /** Gives the transaction its xid, with its first write. */
  assignXid(transaction: MemoryTransaction): void {
    if (transaction.xid !== null) return;
    this.#lastXid += 1n;
    transaction.xid = String(this.#lastXid) as Xid;
    this.#statuses.set(transaction.xid, "in progress");
  }

  xidStatus(xid: Xid): XidStatus {
    return this.#statuses.get(xid) ?? "forgotten";
  }

  /** As Postgres writes it: below the first number all have ended, and so have those below the second that are not listed. */
  snapshot(): string {
    const next = this.#lastXid + 1n;
    const running = [...this.#statuses].flatMap(([xid, status]) =>
      status === "in progress" ? [BigInt(xid)] : [],
    );
    const oldest = running.reduce((least, xid) => (xid < least ? xid : least), next);
    return `${oldest}:${next}:${running.join(",")}`;
  }

  image(): MemoryImage {
    const { items, entries, versions } = this;
    return { items: new Map(items), entries: new Map(entries), versions: new Map(versions) };
  }

  /**
   * Calls `grant` when the transaction holds the row: at once, or when those before it have ended. The returned function
   * gives up waiting.
   */
  lock(transaction: MemoryTransaction, row: string, grant: () => void): () => void {
    const holder = this.#locks.get(row);
    if (holder === undefined || holder === transaction) {
      this.#hold(transaction, row);
      grant();
      return () => undefined;
    }
    this.#lastWait += 1;
    const waiter: Waiter = { transaction, name: `wait ${this.#lastWait}`, grant };
    const waiters = this.#waiters.get(row) ?? [];
    waiters.push(waiter);
    this.#waiters.set(row, waiters);
    return () => {
      const index = waiters.indexOf(waiter);
      if (index >= 0) waiters.splice(index, 1);
    };
  }

  /** Who waits for whom now: for the one that holds the row, and for those that come first. */
  waits(): readonly ServerWait<MemoryTransaction>[] {
    return [...this.#waiters].flatMap(([row, waiters]) => {
      const holder = this.#locks.get(row);
      const holders = holder === undefined ? [] : [holder];
      return waiters.map(({ transaction, name }, place) => {
        const before = waiters.slice(0, place).map((waiter) => waiter.transaction);
        return { waiter: transaction, name, holders: [...holders, ...before] };
      });
    });
  }

  #hold(transaction: MemoryTransaction, row: string): void {
    this.#locks.set(row, transaction);
    transaction.locks.add(row);
  }

  prepare(gid: GlobalId, transaction: MemoryTransaction): void {
    assert(!this.prepared.has(gid), "a gid is prepared at most once at a time");
    this.assignXid(transaction);
    transaction.state = "prepared";
    this.prepared.set(gid, transaction);
  }

  commit(transaction: MemoryTransaction): void {
    for (const [id, value] of transaction.items) {
      this.items.set(id, value);
      this.versions.set(id, (this.versions.get(id) ?? 0) + 1);
    }
    for (const [id, note] of transaction.entries) this.entries.set(id, note);
    this.#end(transaction, "committed");
  }

  /** Back to the savepoint at that place, which stays; locks taken since are let go, the xid stays. */
  rollbackTo(transaction: MemoryTransaction, place: number): void {
    const savepoint = transaction.savepoints[place];
    assert(savepoint !== undefined, "there is a savepoint to go back to");
    transaction.savepoints.length = place + 1;
    refill(transaction.items, savepoint.items);
    refill(transaction.entries, savepoint.entries);
    transaction.failed = false;
    for (const row of [...transaction.locks]) {
      if (savepoint.locks.has(row)) continue;
      transaction.locks.delete(row);
      this.#release(transaction, row);
    }
  }

  rollback(transaction: MemoryTransaction): void {
    this.#end(transaction, "aborted");
  }

  #end(transaction: MemoryTransaction, status: XidStatus): void {
    assert(transaction.state !== "ended", "a transaction ends once");
    transaction.state = "ended";
    if (transaction.xid !== null) this.#statuses.set(transaction.xid, status);
    for (const row of transaction.locks) this.#release(transaction, row);
    transaction.locks.clear();
  }

  #release(transaction: MemoryTransaction, row: string): void {
    if (this.#locks.get(row) !== transaction) return;
    this.#locks.delete(row);
    const next = this.#waiters.get(row)?.shift();
    if (next === undefined) return;
    this.#hold(next.transaction, row);
    next.grant();
  }

  receiptByKey(key: string): Receipt | undefined {
    for (const receipt of this.receipts.values())
      if (receipt.idempotencyKey === key) return receipt;
    return undefined;
  }
}

function refill<Value>(map: Map<string, Value>, from: ReadonlyMap<string, Value>): void {
  map.clear();
  for (const [key, value] of from) map.set(key, value);
}
