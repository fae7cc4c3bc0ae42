/**
 * Lists on all shards, appended to and read in every way that there is. Its history says, without a look at the databases,
 * whether transactions were seen in an order that cannot have been.
 */
import { newIdempotencyKey, type Operation, type Synod } from "../../../client/sdk.ts";
import type { Operation as HistoryOperation, View } from "../../histories/history/event.ts";
import { LIST_KEYS, mark } from "./tables.ts";
import {
  CALL_DEADLINE_MS,
  oneShot,
  told,
  type Rows,
  type Task,
  type Told,
  type Workload,
} from "./task.ts";

/** Of each shard in use at once. */
const LANES = 4;
const APPENDS_PER_KEY = 24;
const ATOMIC_SHARE = 0.3;
const REPEATABLE_SHARE = 0.3;
const LOCKING_SHARE = 0.4;

const APPEND = "update lists set entries = entries || $1::bigint where key = $2";
const READ = "select entries from lists where key = $1";

type List = Extract<HistoryOperation, { kind: "readList" }>;

export class Lists implements Workload {
  readonly #shards: readonly string[];
  readonly #appends = new Map<string, number>();
  #value = 0;

  constructor(shards: readonly string[]) {
    this.#shards = shards;
  }

  next(): Task {
    return Math.random() < ATOMIC_SHARE ? this.#read() : this.#write();
  }

  #read(): Task {
    const name = newIdempotencyKey();
    const operations = this.#shards.map((shard): List => {
      return { kind: "readList", ...this.#place(shard), view: "atomic", list: null };
    });
    return { name, operations, run: (synod) => readAtomically(synod, operations) };
  }

  #write(): Task {
    const name = newIdempotencyKey();
    const isRepeatable = Math.random() < REPEATABLE_SHARE;
    const first = below(this.#shards.length);
    const second = (first + 1 + below(this.#shards.length - 1)) % this.#shards.length;
    const shards = [first, second].map((place) => this.#shards[place] ?? "");
    const operations = shards.flatMap((shard): HistoryOperation[] => {
      const isLocking = Math.random() < LOCKING_SHARE;
      const plain: View = isRepeatable ? "shardSnapshot" : "statement";
      const view = isLocking ? "locking" : plain;
      const read: HistoryOperation = { kind: "readList", ...this.#place(shard), view, list: null };
      this.#value += 1;
      const append: HistoryOperation = {
        ...{ kind: "append", shard, value: this.#value },
        key: isLocking ? read.key : this.#place(shard).key,
      };
      this.#count(append);
      return [read, append];
    });
    const statements = [...operations.map(statementOf), ...shards.map((it) => mark(it, name))];
    const more = isRepeatable ? { isolation: "repeatable read" as const } : {};
    const found = (results: readonly Rows[]): readonly HistoryOperation[] =>
      filled(operations, results);
    return {
      ...{ name, operations },
      run: (synod) => oneShot(synod, name, statements, operations, more, found),
    };
  }

  #place(shard: string): { readonly shard: string; readonly key: string } {
    const lane = below(LANES);
    const generation = Math.floor((this.#appends.get(`${shard} ${lane}`) ?? 0) / APPENDS_PER_KEY);
    const index = Math.min(LIST_KEYS - LANES + lane, generation * LANES + lane);
    return { shard, key: `k${index}` };
  }

  #count({ shard, key }: HistoryOperation): void {
    const lane = `${shard} ${Number(key.slice(1)) % LANES}`;
    this.#appends.set(lane, (this.#appends.get(lane) ?? 0) + 1);
  }
}

function readAtomically(synod: Synod, operations: readonly HistoryOperation[]): Promise<Told> {
  return told(
    () => synod.read(operations.map(statementOf), { deadlineMs: CALL_DEADLINE_MS }),
    ({ results }) => ({
      kind: "committed",
      acknowledged: "applied",
      operations: filled(operations, results),
    }),
  );
}

function statementOf(operation: HistoryOperation): Operation {
  const { shard, key } = operation;
  if (operation.kind === "append") {
    return { shard, sql: APPEND, params: [operation.value, key], expect: { rowCount: 1 } };
  }
  const isLocking = "view" in operation && operation.view === "locking";
  return { shard, sql: isLocking ? `${READ} for update` : READ, params: [key] };
}

function filled(
  operations: readonly HistoryOperation[],
  results: readonly Rows[],
): readonly HistoryOperation[] {
  return operations.map((operation, at) =>
    operation.kind === "readList" ? { ...operation, list: entriesIn(results[at]) } : operation,
  );
}

/** int8 travels as text, within arrays too. */
function entriesIn(result: Rows | undefined): number[] {
  const entries = result?.rows[0]?.["entries"];
  if (!Array.isArray(entries)) throw new Error(`no list: ${JSON.stringify(result)}`);
  return entries.map(Number);
}

function below(bound: number): number {
  return Math.floor(Math.random() * bound);
}
