/**
 * Reads of one shard at one moment: the statements, and which transactions they have seen. They hold no branch and no lock that
 * anybody else's write waits for, so they are not counted among the branches, but have a bound of their own.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type {
  BranchOperation,
  ReadReply,
  ReadRequest,
  Refusal,
} from "../../shared/model/protocol.ts";
import type { Clock } from "../../shared/model/ports.ts";
import { READ_CONNECTIONS, type ReadOutcome, type Shard } from "../shard/shard.ts";
import { judgeRead } from "./judgement.ts";
import { LINK_LOST } from "./refusals.ts";
import { refusalFromThrown } from "./runner.ts";
import { Turns } from "./turns.ts";

/** At once; more are refused. READ_CONNECTIONS of them run, the others wait for their turn until their time is over. */
export const MAX_READS = 256;

export interface ReadsOptions {
  readonly shard: Shard;
  readonly clock: Clock;
  /** Undefined: there is room for one more. */
  readonly refusal: () => Refusal | undefined;
}

interface Running {
  readonly linkId: string;
  isStopped: boolean;
  /** Makes whatever it does now end soon. */
  interrupt: () => void;
  ended: Promise<unknown>;
}

const FULL: Refusal = {
  code: "overloaded",
  sentence: `the shard serves ${MAX_READS} reads already`,
};
const NO_TURN: Refusal = {
  code: "overloaded",
  sentence: `the shard runs ${READ_CONNECTIONS} reads at once, and none of them ended in time`,
};

export class Reads {
  readonly #options: ReadsOptions;
  readonly #running = new Set<Running>();
  readonly #turns: Turns;

  constructor(options: ReadsOptions) {
    this.#options = options;
    this.#turns = new Turns(READ_CONNECTIONS, options.clock);
  }

  get size(): number {
    return this.#running.size;
  }

  async read(linkId: string, request: ReadRequest): Promise<ReadReply> {
    const refusal = this.#options.refusal() ?? (this.size >= MAX_READS ? FULL : undefined);
    if (refusal !== undefined) return { kind: "no", refusal };
    const running: Running = {
      ...{ linkId, isStopped: false, interrupt: () => undefined },
      ended: Promise.resolve(),
    };
    const reply = this.#run(running, request);
    running.ended = reply;
    this.#running.add(running);
    return reply.finally(() => {
      this.#running.delete(running);
    });
  }

  async #run(running: Running, { operations, timeoutMs }: ReadRequest): Promise<ReadReply> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    const { hasTurn, cancel } = this.#turns.take(timeoutMs);
    running.interrupt = cancel;
    if (!(await hasTurn)) {
      return { kind: "no", refusal: running.isStopped ? LINK_LOST : NO_TURN };
    }
    try {
      const leftMs = Math.max(1, Math.ceil(deadlineMs - clock.monotonicMs()));
      return await this.#runNow(running, operations, leftMs);
    } finally {
      this.#turns.end();
    }
  }

  async #runNow(
    running: Running,
    operations: readonly BranchOperation[],
    timeoutMs: number,
  ): Promise<ReadReply> {
    try {
      const session = await this.#options.shard.begin({ isolation: "one snapshot", timeoutMs });
      running.interrupt = () => {
        session.interrupt();
      };
      if (running.isStopped) {
        await session.rollback();
        return { kind: "no", refusal: LINK_LOST };
      }
      return replyFrom(await session.read(operations), operations);
    } catch (error) {
      return { kind: "no", refusal: refusalFromThrown(error) };
    }
  }

  linkLost(linkId: string): void {
    for (const running of this.#running) if (running.linkId === linkId) stop(running);
  }

  /** Resolves when all have ended. */
  async stopAll(): Promise<void> {
    for (const running of this.#running) stop(running);
    await Promise.allSettled([...this.#running].map(({ ended }) => ended));
  }
}

function stop(running: Running): void {
  running.isStopped = true;
  running.interrupt();
}

function replyFrom(outcome: ReadOutcome, operations: readonly BranchOperation[]): ReadReply {
  const judged = judgeRead(outcome, operations);
  switch (judged.kind) {
    case "fine":
      return { kind: "read", snapshot: judged.snapshot, results: [...judged.results] };
    case "refused":
      return { kind: "no", refusal: judged.refusal };
    default:
      return unreachable(judged);
  }
}
