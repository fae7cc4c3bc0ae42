/**
 * COMMIT PREPARED and ROLLBACK PREPARED, on connections of their own: branches that wait for locks can never keep away
 * the commits that would release those locks.
 */
import type { GlobalId } from "../../shared/model/ids.ts";
import { cleanUp } from "./give-back.ts";
import { readFailure } from "./session-outcome.ts";
import type { ServerPool } from "./server-pool.ts";
import { type FinishOutcome, ShardUnreachable } from "./shard.ts";
import { UNDEFINED_OBJECT } from "./sqlstate.ts";

export type FinishCommand = "COMMIT PREPARED" | "ROLLBACK PREPARED";

export class Finisher {
  readonly #pool: ServerPool;

  readonly #deadlineMs: number;

  /** `deadlineMs`: beyond it the server is taken for lost; longer than its own statement timeout. */
  constructor(pool: ServerPool, deadlineMs: number) {
    this.#pool = pool;
    this.#deadlineMs = deadlineMs;
  }

  /** Rejects with `ShardUnreachable`: then the branch may be finished, or may be finished later still. */
  async finish(command: FinishCommand, gid: GlobalId): Promise<FinishOutcome> {
    const { connection, release } = await this.#pool.take();
    const statement = connection.statements.command(`${command.toLowerCase()} '${gid}'`);
    let report;
    try {
      report = await connection.runWithin([{ statement, values: [] }], this.#deadlineMs);
    } catch (error) {
      release(false);
      throw error;
    }
    const { end, warnings } = report;
    if (end.kind === "failed") {
      // The last words of a dying server process look like an answer.
      const isAlive = await cleanUp(connection);
      release(isAlive);
      if (end.error.code === UNDEFINED_OBJECT) return { kind: "doesNotExist" };
      if (!isAlive) throw new ShardUnreachable(end.error.message, { cause: end.error });
      const { sqlstate, message } = readFailure(end.error);
      return { kind: "refused", sqlstate, message };
    }
    release(true);
    const tag = end.results[0]?.tag ?? "";
    if (tag === command) {
      return { kind: "finished", warnings: warnings.map(({ message }) => message) };
    }
    return { kind: "refused", sqlstate: "", message: `${command} was answered by ${tag}` };
  }
}
