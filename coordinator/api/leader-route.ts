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
 * After a lost attempt an answer is believed only if it speaks of that one, too (repetition.ts).
 */
import { SynodError } from "../../shared/model/errors.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import { NotLeader, type LeaderHint, type TransactionGateway } from "../transactions/gateway.ts";
import { BALLOT_HEADER, type Forward, type ForwardedRequest, type Reply } from "./forwarding.ts";
import { replySpeaksOfAll, speaksOfAll, type Repetition } from "./repetition.ts";

/** A dead leader is believed in for a moment: what keeps the loop from spinning meanwhile. */
const PAUSE_MS = 25;

export interface LeaderRouteOptions {
  readonly gateway: Pick<TransactionGateway, "awaitLeader">;
  readonly self: NodeId;
  readonly coordinators: ReadonlyMap<NodeId, string>;
  readonly forward: Forward;
  readonly clock: Clock;
  /** How long a request waits while nobody leads. */
  readonly leaderWaitMs: number;
}

export interface Route<Answer> {
  readonly here: () => Promise<Answer>;
  readonly request: ForwardedRequest;
  /** The request came from another node: it is answered here or refused. */
  readonly isForwarded: boolean;
  readonly timeoutMs: number;
  readonly repetition: Repetition;
  /** Whoever asked has hung up: nothing is begun, or begun again, for nobody. */
  readonly isGone: () => boolean;
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

/** Nobody waits for the answer any more. */
export class CallerGone extends Error {
  override readonly name = "CallerGone";
}

export class LeaderRoute {
  readonly #options: LeaderRouteOptions;

  constructor(options: LeaderRouteOptions) {
    this.#options = options;
  }

  /** Rejects with what `here` rejects with, with CallerGone, or with a SynodError: no-quorum, outcome-unknown. */
  async run<Answer>(route: Route<Answer>): Promise<Routed<Answer>> {
    const { clock, leaderWaitMs } = this.#options;
    const deadlineMs = clock.monotonicMs() + route.timeoutMs;
    let mayHaveBegun = false;
    let waitUntilMs: number | undefined;
    for (;;) {
      if (route.isGone()) throw new CallerGone();
      const local = await this.#tryHere(route, mayHaveBegun);
      if (local.kind === "here") return local;
      if (route.isForwarded) throw new NotLeading();
      const attempt = await this.#tryLeader(route, local.leader, deadlineMs);
      if (attempt.kind === "answered") {
        const { reply } = attempt;
        if (mayHaveBegun && !replySpeaksOfAll(route.repetition, reply))
          throw unknownOutcome(route.repetition);
        return { kind: "relayed", reply };
      }
      if (attempt.kind === "lost" && route.repetition !== "harmless") {
        if (route.repetition === "runsAgain") throw unknownOutcome(route.repetition);
        mayHaveBegun = true;
        waitUntilMs = undefined;
      }
      waitUntilMs ??= Math.min(deadlineMs, clock.monotonicMs() + leaderWaitMs);
      if (!(await this.#awaitLeader(waitUntilMs)))
        throw mayHaveBegun ? unknownOutcome(route.repetition) : noQuorum();
    }
  }

  async #tryHere<Answer>(
    { here, repetition }: Route<Answer>,
    mayHaveBegun: boolean,
  ): Promise<
    { kind: "here"; answer: Answer } | { kind: "elsewhere"; leader: LeaderHint | undefined }
  > {
    try {
      return { kind: "here", answer: await here() };
    } catch (error) {
      if (error instanceof NotLeader) return { kind: "elsewhere", leader: error.leader };
      const isRefusal = mayHaveBegun && error instanceof SynodError;
      if (isRefusal && !speaksOfAll(repetition, error.outcome)) throw unknownOutcome(repetition);
      throw error;
    }
  }

  async #tryLeader(
    { request }: Route<unknown>,
    leader: LeaderHint | undefined,
    deadlineMs: number,
  ): ReturnType<Forward> {
    const { self, coordinators, forward, clock } = this.#options;
    const leftMs = deadlineMs - clock.monotonicMs();
    if (leader === undefined || leader.node === self || leftMs <= 0) return { kind: "notBegun" };
    const url = coordinators.get(leader.node);
    if (url === undefined) return { kind: "notBegun" };
    const headers = { ...request.headers, [BALLOT_HEADER]: String(leader.ballot) };
    return forward(url, { ...request, headers }, leftMs);
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

const WHAT_NOW: Readonly<Record<Repetition, string>> = {
  harmless: "ask the same again",
  sameKey: "ask the same again, under the same idempotency key",
  sameTransaction: "ask the same again: it is carried out once",
  runsAgain: "without an idempotency key only the data can tell, and asked again it may run twice",
};

function unknownOutcome(repetition: Repetition): SynodError {
  const sentence = `the leader was lost after it was asked; ${WHAT_NOW[repetition]}`;
  return new SynodError("outcome-unknown", sentence);
}
