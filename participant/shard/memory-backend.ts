/**
 * The twin of one server process: it runs effects for a connection, and may go on after the connection is lost.
 */
import { MemoryTransaction, type MemoryDatabase, type ServerProcess } from "./memory-database.ts";
import type { MemoryEffect, MemoryHooks } from "./memory-hooks.ts";
import { ShardUnreachable } from "./shard.ts";

export class MemoryBackend implements ServerProcess {
  readonly transaction = new MemoryTransaction();
  readonly #database: MemoryDatabase;
  readonly #hooks: MemoryHooks;
  #isAlive = true;
  #isBusyLate = false;
  readonly #onEnd: (backend: MemoryBackend) => void;
  #onKill: () => void = () => undefined;

  constructor(
    database: MemoryDatabase,
    hooks: MemoryHooks,
    onEnd: (backend: MemoryBackend) => void,
  ) {
    this.#database = database;
    this.#hooks = hooks;
    this.#onEnd = onEnd;
    database.processes.add(this);
  }

  /** Called when it is killed while it waits for something. */
  onKill(notify: () => void): void {
    this.#onKill = notify;
  }

  kill(): void {
    this.#isAlive = false;
    this.#onKill();
    this.#onEnd(this);
  }

  cleanUp(): void {
    if (this.transaction.state === "active") this.#database.rollback(this.transaction);
  }

  /** The process ends, and what it had open with it. */
  end(): void {
    if (!this.#database.processes.delete(this)) return;
    this.kill();
    this.cleanUp();
  }

  /** The client is gone: the process ends, unless it is busy with something that it does not give up. */
  lose(): void {
    if (!this.#isBusyLate) this.end();
  }

  /**
   * Runs the effect between its two hooks. Rejects with `ShardUnreachable` when the connection breaks, whether the effect
   * happened or not.
   */
  async run<Result>(
    effect: MemoryEffect,
    act: (isRolledBack: boolean) => Result | Promise<Result>,
  ): Promise<Result> {
    this.#assertAlive(effect);
    const before = await this.#hooks.hook(`before ${effect}`);
    this.#assertAlive(effect);
    if (before === "late") void this.#runLate(effect, act);
    if (before === "lose" || before === "late") throw lost(effect);
    const result = await act(before === "rollback");
    this.#assertAlive(effect);
    const after = await this.#hooks.hook(`after ${effect}`);
    this.#assertAlive(effect);
    if (after === "ok") return result;
    throw lost(effect);
  }

  async #runLate(effect: MemoryEffect, act: (isRolledBack: boolean) => unknown): Promise<void> {
    this.#isBusyLate = true;
    await this.#hooks.hook(`late ${effect}`);
    this.#isBusyLate = false;
    if (this.#isAlive) await act(false);
    this.end();
  }

  #assertAlive(effect: MemoryEffect): void {
    if (!this.#isAlive) throw lost(effect);
  }
}

function lost(effect: MemoryEffect): ShardUnreachable {
  return new ShardUnreachable(`the connection was lost at ${effect}`);
}
