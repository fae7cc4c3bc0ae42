/**
 * A world without chance faults, driven by hand: for schedules that were found once and must stay fixed. The checkers watch as
 * they do in a seeded run.
 */
import type { Submission } from "../../coordinator/transactions/gateway.ts";
import { SynodError } from "../../shared/model/errors.ts";
import type { Call, Ending } from "./clients/history.ts";
import { mark } from "./clients/statements.ts";
import { drawKnobs } from "./knobs.ts";
import type { Mutation } from "./mutation.ts";
import { quiet } from "./mutation-worlds.ts";
import { restlessness } from "./quiet.ts";
import type { CoordinatorHost, LivingCoordinator } from "./world/coordinator-host.ts";
import { SeededRandom } from "./world/seeded-random.ts";
import { World } from "./world/world.ts";

export interface ScenarioOptions {
  /** Silence after which a leader counts as gone. */
  readonly electionTimeoutMs: number;
  /** Slots from one snapshot to the next; default never. Nothing below one is kept in the log. */
  readonly snapshotIntervalSlots?: number;
  readonly meanAppendMs?: number;
  readonly mutation?: Mutation;
}

export interface Submitted {
  /** Undefined while it runs. */
  ending: Ending | Error | undefined;
}

const STEP_MS = 1;
const PATIENCE_MS = 20_000;

export class Scenario {
  readonly world: World;
  #failure: unknown;

  constructor(options: ScenarioOptions) {
    const { electionTimeoutMs, snapshotIntervalSlots = 0, meanAppendMs = 1 } = options;
    const random = new SeededRandom(1);
    const world = quiet(drawKnobs(random.fork("knobs")), {});
    this.world = new World({
      random,
      mutation: options.mutation ?? "none",
      knobs: {
        ...world,
        network: { lossChance: 0, duplicateChance: 0, minDelayMs: 1, meanDelayMs: 0 },
        paxos: { ...world.paxos, electionTimeoutMs, snapshotIntervalSlots, trailingSlots: 0 },
        disk: { ...world.disk, meanAppendMs },
        workload: { ...world.workload, clients: 0 },
      },
      onFailure: (error) => {
        this.#failure ??= error;
      },
    });
    this.world.start();
  }

  /** Lets events happen until the condition holds. */
  async until<Value>(what: string, condition: () => Value | undefined | false): Promise<Value> {
    const { scheduler } = this.world;
    const deadlineMs = scheduler.nowMs + PATIENCE_MS;
    for (;;) {
      const value = condition();
      if (value !== undefined && value !== false) return value;
      if (scheduler.nowMs > deadlineMs) throw new Error(`in vain, until ${what}\n${this.story()}`);
      await this.pass(STEP_MS);
    }
  }

  /** Lets events happen for so long. */
  async pass(forMs: number): Promise<void> {
    const { scheduler } = this.world;
    await scheduler.run(scheduler.nowMs + forMs, () => {
      this.world.checkers.observe();
      if (this.#failure instanceof Error) throw this.#failure;
    });
  }

  /** Whoever serves as the leader, other than `except`. */
  leader(except?: CoordinatorHost): Promise<CoordinatorHost> {
    return this.until("somebody leads", () =>
      this.world.coordinators.find((host) => {
        const view = host.node?.gateway.view();
        return host !== except && view?.role === "leader" && view.serving;
      }),
    );
  }

  /** A call that leaves its mark on these shards, asked for under a key of its own name. */
  call(name: string, shards: readonly string[], timeoutMs: number): Call {
    const submission: Submission = {
      request: {
        operations: shards.map((shard) => mark(shard, name)),
        isolation: "read committed",
        timeoutMs,
        waitFor: "applied",
      },
      idempotency: { key: name, fingerprint: `body of ${name}` },
    };
    const call: Call = { name, submission, writes: shards, verdict: "open", attempts: 0 };
    this.world.prepareMarks(call);
    this.world.history.begin(call);
    return call;
  }

  /** Straight into a node's gateway, at this very moment. */
  submit({ node }: LivingCoordinator, { submission }: Call): Submitted {
    const submitted: Submitted = { ending: undefined };
    node.gateway.submit(submission).then(
      (answer) => {
        submitted.ending = { kind: "committed", answer };
      },
      (error: unknown) => {
        if (error instanceof SynodError) submitted.ending = { kind: "failed", error };
        else submitted.ending = error as Error;
      },
    );
    return submitted;
  }

  /** When all is quiet, the books must be right. */
  async close(): Promise<void> {
    await this.until("all is quiet", () => restlessness(this.world) === undefined);
    this.world.checkers.auditor.closeTheBooks(this.world.history);
  }

  story(): string {
    return this.world.trace.last(60).join("\n");
  }
}

/** The code of a failure; undefined for anything else. */
export function codeOf({ ending }: Submitted): string | undefined {
  return ending !== undefined && !(ending instanceof Error) && ending.kind === "failed"
    ? ending.error.code
    : undefined;
}

/** The transaction that committed; undefined for anything else. */
export function committedIdOf({ ending }: Submitted): string | undefined {
  return ending !== undefined && !(ending instanceof Error) && ending.kind === "committed"
    ? ending.answer.response.id
    : undefined;
}
