/**
 * A store that keeps Synod's promises and no more: row locks until a decision has reached the shard, decisions that reach shards one by
 * one, answers that get lost. Seeded histories of it are what a checker must clear.
 */
import { SeededRandom } from "../../simulation/world/seeded-random.ts";
import type { HistoryEvent, Operation, View } from "../history/event.ts";

export interface StoreOptions {
  readonly seed: number;
  readonly transactions: number;
  readonly processes?: number;
}

const SHARDS = ["s1", "s2", "s3"] as const;
/** Keys of each shard in use at once; each is given up after so many appends, so that lists stay short. */
const LIVE_KEYS = 6;
const APPENDS_PER_KEY = 24;
const PATIENCE_STEPS = 40;
const ABORT_CHANCE = 0.03;
const LOST_ANSWER_CHANCE = 0.03;

interface Row {
  readonly key: string;
  readonly shard: string;
  values: number[];
  /** The shard's commit number of each value: what snapshots are compared with. */
  commits: number[];
  lockedBy: Running | undefined;
}

interface Running {
  readonly process: number;
  readonly name: string;
  readonly operations: Operation[];
  readonly snapshots: Map<string, number>;
  readonly written: Map<Row, number[]>;
  next: number;
  patience: number;
  /** Shards that have still to hear of the decision. */
  applying: string[] | undefined;
  isAnswered: boolean;
}

export function runStore(options: StoreOptions): HistoryEvent[] {
  return new Store(options).run();
}

class Store {
  readonly #random: SeededRandom;
  readonly #options: StoreOptions;
  readonly #events: HistoryEvent[] = [];
  readonly #rows = new Map<string, Row>();
  readonly #commits = new Map<string, number>();
  readonly #generations = new Map<string, number>();
  readonly #planned = new Map<string, number>();
  readonly #running: Running[] = [];
  readonly #idle: number[];
  #begun = 0;
  #value = 0;
  #nowMs = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#idle = Array.from({ length: options.processes ?? 12 }, (_, index) => index);
  }

  run(): HistoryEvent[] {
    const { transactions } = this.#options;
    while (this.#begun < transactions || this.#running.length > 0) {
      this.#nowMs += this.#random.between(0.01, 0.2);
      const mayBegin = this.#begun < transactions && this.#idle.length > 0;
      if (mayBegin && (this.#running.length === 0 || this.#random.chance(0.2))) this.#begin();
      else this.#advance(this.#random.pick(this.#running));
    }
    return this.#events;
  }

  #begin(): void {
    const process = this.#idle.shift()!;
    this.#begun += 1;
    const it: Running = {
      ...{ process, name: `t${this.#begun}`, operations: this.#plan(), next: 0 },
      ...{ snapshots: new Map(), written: new Map(), patience: PATIENCE_STEPS },
      ...{ applying: undefined, isAnswered: false },
    };
    this.#running.push(it);
    const { name: transaction } = it;
    const operations = it.operations.map((operation) => ({ ...operation }));
    this.#tell({ event: "invoke", atMs: this.#nowMs, process, transaction, operations });
  }

  #plan(): Operation[] {
    const view = this.#random.pick<View>(["statement", "shardSnapshot", "locking", "atomic"]);
    return Array.from({ length: 2 + this.#random.integer(4) }, (): Operation => {
      const place = this.#pickKey();
      if (view === "atomic" || this.#random.chance(0.5)) {
        return { kind: "readList", ...place, view, list: null };
      }
      this.#value += 1;
      this.#planned.set(place.key, (this.#planned.get(place.key) ?? 0) + 1);
      return { kind: "append", ...place, value: this.#value };
    });
  }

  #pickKey(): { shard: string; key: string } {
    const shard = this.#random.pick(SHARDS);
    const lane = `${shard}-${this.#random.integer(LIVE_KEYS)}`;
    const generation = this.#generations.get(lane) ?? 0;
    const key = `${lane}-${generation}`;
    if ((this.#planned.get(key) ?? 0) >= APPENDS_PER_KEY)
      this.#generations.set(lane, generation + 1);
    return { shard, key };
  }

  #advance(it: Running): void {
    if (it.applying !== undefined) this.#applyNext(it, it.applying);
    else if (it.next === it.operations.length) this.#decide(it);
    else if (this.#perform(it, it.operations[it.next]!)) it.next += 1;
    else {
      it.patience -= 1;
      if (it.patience === 0) this.#abort(it, "lock-timeout");
    }
  }

  /** False when it has to wait. A transaction that loses to an earlier writer is aborted, and waits no more. */
  #perform(it: Running, operation: Operation): boolean {
    const row = this.#row(operation);
    if (operation.kind === "append") {
      if (!this.#lock(it, row)) return false;
      const snapshot = it.snapshots.get(row.shard);
      if (snapshot !== undefined && (row.commits.at(-1) ?? 0) > snapshot) {
        it.patience = 1;
        return false;
      }
      it.written.set(row, [...(it.written.get(row) ?? []), operation.value]);
    } else if (operation.kind === "readList") {
      if (operation.view === "locking" && !this.#lock(it, row)) return false;
      if (operation.view === "atomic" && !this.#takeAllSnapshots(it)) return false;
      if (operation.view === "shardSnapshot") this.#takeSnapshot(it, row.shard);
      const until = it.snapshots.get(row.shard) ?? Infinity;
      const length = row.commits.filter((commit) => commit <= until).length;
      operation.list = [...row.values.slice(0, length), ...(it.written.get(row) ?? [])];
    }
    return true;
  }

  #takeSnapshot(it: Running, shard: string): void {
    if (!it.snapshots.has(shard)) it.snapshots.set(shard, this.#commits.get(shard) ?? 0);
  }

  #takeAllSnapshots(it: Running): boolean {
    if (it.snapshots.size > 0) return true;
    if (this.#running.some(({ applying }) => applying !== undefined)) return false;
    for (const shard of SHARDS) this.#takeSnapshot(it, shard);
    return true;
  }

  #lock(it: Running, row: Row): boolean {
    row.lockedBy ??= it;
    return row.lockedBy === it;
  }

  #decide(it: Running): void {
    if (this.#random.chance(ABORT_CHANCE)) this.#abort(it, "participant-conflict");
    else it.applying = [...SHARDS].sort(() => this.#random.fraction() - 0.5);
    if (this.#random.chance(LOST_ANSWER_CHANCE)) this.#answerLost(it);
  }

  #applyNext(it: Running, applying: string[]): void {
    const shard = applying.pop();
    if (shard === undefined) {
      this.#answer(it, () => {
        const { process, name: transaction, operations } = it;
        const common = { atMs: this.#nowMs, process, transaction, operations };
        this.#tell({ event: "ok", ...common, acknowledged: "applied" });
      });
      this.#forget(it);
      return;
    }
    const commit = (this.#commits.get(shard) ?? 0) + 1;
    this.#commits.set(shard, commit);
    for (const [row, values] of it.written) {
      if (row.shard !== shard) continue;
      row.values.push(...values);
      row.commits.push(...values.map(() => commit));
    }
    this.#unlock(it, shard);
  }

  #abort(it: Running, reason: string): void {
    this.#answer(it, () => {
      const { process, name: transaction } = it;
      this.#tell({ event: "fail", atMs: this.#nowMs, process, transaction, reason });
    });
    for (const shard of SHARDS) this.#unlock(it, shard);
    this.#forget(it);
  }

  #answerLost(it: Running): void {
    this.#answer(it, () => {
      const { process, name: transaction } = it;
      const reason = "outcome-unknown";
      this.#tell({ event: "info", atMs: this.#nowMs, process, transaction, reason });
    });
  }

  #answer(it: Running, tell: () => void): void {
    if (it.isAnswered) return;
    it.isAnswered = true;
    tell();
    this.#idle.push(it.process);
  }

  #forget(it: Running): void {
    this.#running.splice(this.#running.indexOf(it), 1);
  }

  #unlock(it: Running, shard: string): void {
    for (const operation of it.operations) {
      if (operation.shard !== shard) continue;
      const row = this.#row(operation);
      if (row.lockedBy === it) row.lockedBy = undefined;
    }
  }

  #row({ shard, key }: Operation): Row {
    const row = this.#rows.get(key) ?? { key, shard, values: [], commits: [], lockedBy: undefined };
    this.#rows.set(key, row);
    return row;
  }

  #tell(event: HistoryEvent): void {
    this.#events.push(event);
  }
}
