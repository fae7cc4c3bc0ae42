/**
 * COMMIT PREPARED and ROLLBACK PREPARED, on connections of their own: branches that wait for locks can never keep away
 * the commits that would release those locks.
 *
 * What comes while all connections are busy leaves together on the first that is free, in one write: under load that saves
 * both sides most of their system calls. Each command stays a transaction of its own.
 */
import { assert } from "../../shared/model/assert.ts";
import type { GlobalId } from "../../shared/model/ids.ts";
import { cleanUp } from "./give-back.ts";
import type { BatchReport, ServerConnection } from "./server-connection.ts";
import { readFailure } from "./session-outcome.ts";
import type { ServerPool } from "./server-pool.ts";
import { type FinishOutcome, ShardUnreachable } from "./shard.ts";
import { INSUFFICIENT_PRIVILEGE, UNDEFINED_OBJECT } from "./sqlstate.ts";

export type FinishCommand = "COMMIT PREPARED" | "ROLLBACK PREPARED";

export interface FinisherOptions {
  /** All connections of the pool are the finisher's. */
  readonly pool: ServerPool;
  readonly connections: number;
  /** For one command: beyond it the server is taken for lost; longer than its own statement timeout. */
  readonly deadlineMs: number;
}

interface Waiting {
  readonly command: FinishCommand;
  readonly gid: GlobalId;
  readonly resolve: (outcome: FinishOutcome) => void;
  readonly reject: (error: Error) => void;
}

const OWNER = `select pg_catalog.quote_ident(owner) as owner
  from pg_catalog.pg_prepared_xacts where gid = $1 and database = pg_catalog.current_database()`;

/** Each waits for those before it to be flushed to the server's disk. */
const MAX_TOGETHER = 8;

export class Finisher {
  readonly #options: FinisherOptions;
  /** No more than there are branches. */
  #waiting: Waiting[] = [];
  #busyConnections = 0;

  constructor(options: FinisherOptions) {
    this.#options = options;
  }

  /** Rejects with `ShardUnreachable`: then the branch may be finished, or may be finished later still. */
  finish(command: FinishCommand, gid: GlobalId): Promise<FinishOutcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command, gid, resolve, reject });
      this.#serve();
    });
  }

  #serve(): void {
    while (this.#waiting.length > 0 && this.#busyConnections < this.#options.connections) {
      this.#busyConnections += 1;
      void this.#run(this.#waiting.splice(0, MAX_TOGETHER)).finally(() => {
        this.#busyConnections -= 1;
        this.#serve();
      });
    }
  }

  /** Never rejects. */
  async #run(together: readonly Waiting[]): Promise<void> {
    const { pool, deadlineMs } = this.#options;
    const taken = await pool.take().catch((error: unknown) => {
      assert(error instanceof ShardUnreachable, "a pool fails as its shard does");
      return error;
    });
    if (taken instanceof ShardUnreachable) {
      for (const { reject } of together) reject(taken);
      return;
    }
    const { connection, release } = taken;
    const series = together.map(({ command, gid }) => [
      {
        statement: connection.statements.command(`${command.toLowerCase()} '${gid}'`),
        values: [],
      },
    ]);
    const reports = connection
      .runEach(series)
      .map((report, place) => connection.within(report, (place + 1) * deadlineMs));
    const ends = await Promise.all(
      together.map((waiting, place) => answer(waiting, reports[place])),
    );
    // The last words of a dying server process look like an answer.
    let isAlive = !ends.includes("lost") && (!ends.some(isRefusal) || (await cleanUp(connection)));
    for (const [place, waiting] of together.entries()) {
      const end = ends[place];
      if (end === undefined || !isRefusal(end)) continue;
      const isOwners = isAlive && end.sqlstate === INSUFFICIENT_PRIVILEGE;
      const outcome = isOwners ? await this.#finishAsOwner(connection, waiting, end) : end;
      isAlive &&= outcome !== "lost";
      if (isAlive && outcome !== "lost") waiting.resolve(outcome);
      else waiting.reject(new ShardUnreachable(end.message));
    }
    release(isAlive);
  }

  /**
   * A trigger may have changed the role behind everybody's back: then the branch belongs to that role. Whoever could take the
   * role on once can do so again.
   */
  async #finishAsOwner(
    connection: ServerConnection,
    { command, gid }: Waiting,
    refusal: Refusal,
  ): Promise<FinishOutcome | "lost"> {
    const { deadlineMs } = this.#options;
    const step = (text: string, ...values: string[]) => [
      { statement: connection.statements.once(text), values },
    ];
    try {
      const { end } = await connection.runWithin(step(OWNER, gid), deadlineMs);
      const owner = end.results[0]?.rows[0]?.["owner"];
      if (typeof owner !== "string") return refusal;
      const texts = [`set role ${owner}`, `${command.toLowerCase()} '${gid}'`];
      const reports = connection.runEach(texts.map((text) => step(text)));
      const all = Promise.all(reports);
      const [, report] = await connection.within(all, deadlineMs);
      assert(report !== undefined, "every command has its report");
      const outcome = readFinish(command, report);
      return (await cleanUp(connection)) ? outcome : "lost";
    } catch (error) {
      assert(error instanceof ShardUnreachable, "a batch fails as its shard does");
      return "lost";
    }
  }
}

type Refusal = FinishOutcome & { readonly kind: "refused" };
type End = "answered" | "lost" | Refusal;

function isRefusal(end: End): end is Refusal {
  return typeof end !== "string";
}

/** A refusal is not passed on yet. */
async function answer(
  { command, resolve, reject }: Waiting,
  report: Promise<BatchReport> | undefined,
): Promise<End> {
  assert(report !== undefined, "every command has its report");
  try {
    const outcome = readFinish(command, await report);
    if (outcome.kind === "refused") return outcome;
    resolve(outcome);
    return "answered";
  } catch (error) {
    assert(error instanceof ShardUnreachable, "a batch fails as its shard does");
    reject(error);
    return "lost";
  }
}

function readFinish(command: FinishCommand, { end, warnings }: BatchReport): FinishOutcome {
  if (end.kind === "failed") {
    if (end.error.code === UNDEFINED_OBJECT) return { kind: "doesNotExist" };
    const { sqlstate, message } = readFailure(end.error);
    return { kind: "refused", sqlstate, message };
  }
  const tag = end.results[0]?.tag ?? "";
  if (tag === command) {
    return { kind: "finished", warnings: warnings.map(({ message }) => message) };
  }
  return { kind: "refused", sqlstate: "", message: `${command} was answered by ${tag}` };
}
