/**
 * Brings a request to whoever leads: this node, or another one by forwarding, or the next one if the leader is lost on
 * the way.
 *
 *   here? ──yes──▶ answer
 *     │ NotLeader
 *     ▼
 *   forward to the leader ──answered──▶ relay
 *     │            │ lost, and repeating could run it twice ──▶ outcome-unknown
 *     │ not begun, or lost but repeatable
 *     ▼
 *   wait for a leader ──none in time──▶ no-quorum, or outcome-unknown if an attempt was lost
 *     │
 *     └──▶ from the top
 *
 * After a lost attempt only "committed" is believed: a refusal of the second attempt says nothing about the first one. Unless
 * both speak of the same transaction.
 */
import { SynodError } from "../../shared/model/errors.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import { NotLeader, type TransactionGateway } from "../transactions/gateway.ts";
import type { Forward, ForwardedRequest, Reply } from "./forwarding.ts";

/** A dead leader is believed in for a moment: what keeps the loop from spinning meanwhile. */
const PAUSE_MS = 25;
const OK = 200;

export interface LeaderRouteOptions {
  readonly gateway: Pick<TransactionGateway, "awaitLeader">;
  readonly self: NodeId;
  readonly coordinators: ReadonlyMap<NodeId, string>;
  readonly forward: Forward;
  readonly clock: Clock;
  /** How long a request waits while nobody leads. */
  readonly leaderWaitMs: number;
}

/**
 * What a second attempt can do: `harmless` (a read), `sameKey` (a write that runs once however often it is asked),
 * `sameTransaction` (a call about a transaction that has begun, which is carried out once), or `runsAgain`.
 */
export type Repetition = "harmless" | "sameKey" | "sameTransaction" | "runsAgain";

export interface Route<Answer> {
  readonly here: () => Promise<Answer>;
  readonly request: ForwardedRequest;
  /** The request came from another node: it is answered here or refused. */
  readonly isForwarded: boolean;
  readonly timeoutMs: number;
  readonly repetition: Repetition;
}

export type Routed<Answer> =
  | { readonly kind: "here"; readonly answer: Answer }
  | { readonly kind: "relayed"; readonly reply: Reply };

/** A forwarded request met a node that does not lead. */
export class NotLeading extends SynodError {
  constructor() {
    super("no-quorum", "this node was asked as the leader, but it does not lead");
  }
}

export class LeaderRoute {
  readonly #options: LeaderRouteOptions;

  constructor(options: LeaderRouteOptions) {
    this.#options = options;
  }

  /** Rejects with what `here` rejects with, or with a SynodError: no-quorum, outcome-unknown. */
  async run<Answer>(route: Route<Answer>): Promise<Routed<Answer>> {
    const { clock, leaderWaitMs } = this.#options;
    const deadlineMs = clock.monotonicMs() + route.timeoutMs;
    let mayHaveBegun = false;
    let waitUntilMs: number | undefined;
    const believesAll = route.repetition === "sameTransaction";
    for (;;) {
      const local = await this.#tryHere(route, mayHaveBegun && !believesAll);
      if (local.kind === "here") return local;
      if (route.isForwarded) throw new NotLeading();
      const attempt = await this.#tryLeader(route, local.leader, deadlineMs);
      if (attempt.kind === "answered") {
        const isBelieved = !mayHaveBegun || believesAll || attempt.reply.status === OK;
        if (!isBelieved) throw unknownOutcome();
        return { kind: "relayed", reply: attempt.reply };
      }
      if (attempt.kind === "lost" && route.repetition !== "harmless") {
        if (route.repetition === "runsAgain") throw unknownOutcome();
        mayHaveBegun = true;
        waitUntilMs = undefined;
      }
      waitUntilMs ??= Math.min(deadlineMs, clock.monotonicMs() + leaderWaitMs);
      if (!(await this.#awaitLeader(waitUntilMs)))
        throw mayHaveBegun ? unknownOutcome() : noQuorum();
    }
  }

  async #tryHere<Answer>(
    { here }: Route<Answer>,
    isDisbelieved: boolean,
  ): Promise<{ kind: "here"; answer: Answer } | { kind: "elsewhere"; leader: NodeId | undefined }> {
    try {
      return { kind: "here", answer: await here() };
    } catch (error) {
      if (error instanceof NotLeader) return { kind: "elsewhere", leader: error.leader };
      if (isDisbelieved && error instanceof SynodError) throw unknownOutcome();
      throw error;
    }
  }

  async #tryLeader(
    { request }: Route<unknown>,
    leader: NodeId | undefined,
    deadlineMs: number,
  ): ReturnType<Forward> {
    const { self, coordinators, forward, clock } = this.#options;
    const url = leader === undefined || leader === self ? undefined : coordinators.get(leader);
    const leftMs = deadlineMs - clock.monotonicMs();
    if (url === undefined || leftMs <= 0) return { kind: "notBegun" };
    return forward(url, request, leftMs);
  }

  /** False when the time is over; true when it is worth trying again. */
  async #awaitLeader(untilMs: number): Promise<boolean> {
    const { clock, gateway } = this.#options;
    const leftMs = (): number => untilMs - clock.monotonicMs();
    await new Promise<void>((resolve) => {
      clock.after(Math.max(0, Math.min(PAUSE_MS, leftMs())), resolve);
    });
    return leftMs() > 0 && (await gateway.awaitLeader(leftMs()));
  }
}

function noQuorum(): SynodError {
  const sentence = "no coordinator leads a quorum at the moment; nothing has begun";
  return new SynodError("no-quorum", sentence);
}

function unknownOutcome(): SynodError {
  return new SynodError(
    "outcome-unknown",
    "the leader was lost after it was asked: ask the same again, under the same idempotency key",
  );
}
