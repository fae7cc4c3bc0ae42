/**
 * coordinator/api for interactive transactions, without HTTP: the production LeaderRoute over simulated connections. Whatever a
 * gateway says is told to the history at that moment, whether or not its client ever hears of it.
 */
import type { Attempt as Forwarded, Reply } from "../../../coordinator/api/forwarding.ts";
import { LeaderRoute, NotLeading } from "../../../coordinator/api/leader-route.ts";
import { problemOf } from "../../../coordinator/api/problem.ts";
import type { Repetition } from "../../../coordinator/api/repetition.ts";
import type { InteractiveGateway } from "../../../coordinator/transactions/gateway.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import type { CoordinatorHost, LivingCoordinator } from "../world/coordinator-host.ts";
import type { RemoteAnswer, RemoteCalls } from "../world/remote-call.ts";
import type { Trace } from "../world/trace.ts";
import type { Call, History } from "./history.ts";

export interface Ask<Answer> {
  readonly call: Call;
  readonly what: string;
  readonly run: (gateway: InteractiveGateway) => Promise<Answer>;
  /** At the gateway, as soon as it answers. */
  readonly told: (answer: Answer) => void;
  readonly timeoutMs: number;
  readonly repetition: Repetition;
}

export type Said<Answer> =
  | { readonly kind: "said"; readonly answer: Answer }
  | { readonly kind: "failed"; readonly error: SynodError };

const LEADER_WAIT_MS = 1_000;
const GRACE_MS = 1_000;

export class InteractiveApi {
  readonly #hosts: readonly CoordinatorHost[];
  readonly #calls: RemoteCalls;
  readonly #history: History;
  readonly #trace: Trace;

  constructor(
    hosts: readonly CoordinatorHost[],
    calls: RemoteCalls,
    history: History,
    trace: Trace,
  ) {
    this.#hosts = hosts;
    this.#calls = calls;
    this.#history = history;
    this.#trace = trace;
  }

  /** From a client's machine to a node. */
  async ask<Answer>(
    from: string,
    to: CoordinatorHost,
    ask: Ask<Answer>,
  ): Promise<RemoteAnswer<Said<Answer>>> {
    const heard = await this.#calls.call({
      ...{ from, caller: undefined, to: to.machine, timeoutMs: ask.timeoutMs + 3 * GRACE_MS },
      target: () => to.served(),
      outlivesCaller: true,
      handle: (living) => this.#serve(living, ask, false),
    });
    if (heard.kind !== "answered") return heard;
    return heard.value === "refused" ? { kind: "lost" } : { kind: "answered", value: heard.value };
  }

  /** Never rejects for anything that the world can do. */
  async #serve<Answer>(
    living: LivingCoordinator,
    ask: Ask<Answer>,
    isForwarded: boolean,
  ): Promise<Said<Answer> | "refused"> {
    let relayed: Said<Answer> | undefined;
    const { node, clock, self, host } = living;
    const route = new LeaderRoute({
      ...{ gateway: node.gateway, self, clock, leaderWaitMs: LEADER_WAIT_MS },
      coordinators: new Map(this.#hosts.map((other) => [other.self, other.machine])),
      forward: async (to, _request, timeoutMs) => {
        const [attempt, said] = await this.#forward(host, to, ask, timeoutMs);
        relayed = said;
        return attempt;
      },
    });
    try {
      const routed = await route.run({
        here: () => this.#here(living, ask),
        request: { method: "POST", path: "", headers: {} },
        ...{ isForwarded, timeoutMs: ask.timeoutMs, repetition: ask.repetition },
        isGone: () => false,
      });
      if (routed.kind === "here") return { kind: "said", answer: routed.answer };
      return relayed ?? "refused";
    } catch (error) {
      if (error instanceof NotLeading) return "refused";
      if (error instanceof SynodError) return { kind: "failed", error };
      throw error;
    }
  }

  async #here<Answer>(
    { node, process, host }: LivingCoordinator,
    ask: Ask<Answer>,
  ): Promise<Answer> {
    const { call, what } = ask;
    try {
      const answer = await ask.run(node.gateway.interactive);
      this.#trace.line(host.machine, `${call.name} ${what}: ${JSON.stringify(answer)}`);
      if (process.alive) ask.told(answer);
      return answer;
    } catch (error) {
      this.#trace.line(host.machine, `${call.name} ${what} failed: ${String(error)}`);
      if (error instanceof SynodError && process.alive) {
        this.#history.ended(call, { kind: "failed", error });
      }
      throw error;
    }
  }

  async #forward<Answer>(
    from: CoordinatorHost,
    to: string,
    ask: Ask<Answer>,
    timeoutMs: number,
  ): Promise<[Forwarded, Said<Answer> | undefined]> {
    const target = this.#hosts.find(({ machine }) => machine === to);
    if (target === undefined) throw new Error(`there is no node ${to}`);
    const answer = await this.#calls.call({
      ...{ from: from.machine, caller: from.process, to, timeoutMs: timeoutMs + GRACE_MS },
      target: () => target.served(),
      outlivesCaller: true,
      handle: (living) => this.#serve(living, ask, true),
    });
    if (answer.kind !== "answered") {
      return [{ kind: answer.kind === "lost" ? "lost" : "notBegun" }, undefined];
    }
    if (answer.value === "refused") return [{ kind: "notBegun" }, undefined];
    return [{ kind: "answered", reply: replyOf(answer.value) }, answer.value];
  }
}

/** The bytes that a node would relay, as far as the route looks at them. */
function replyOf(said: Said<unknown>): Reply {
  if (said.kind === "said") return { status: 200, headers: {}, body: Buffer.alloc(0) };
  const { status, body } = problemOf(said.error, "/");
  return { status, headers: {}, body: Buffer.from(JSON.stringify(body)) };
}
