/**
 * What coordinator/api does with a request, without HTTP: any node takes it, followers forward it to the leader they know,
 * and a node that knows none waits for one.
 */
import type { CoordinatorNode } from "../../../coordinator/coordinator-node.ts";
import { NotLeader } from "../../../coordinator/transactions/gateway.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import type { NodeId } from "../../../shared/model/ids.ts";
import type { CoordinatorHost } from "../world/coordinator-host.ts";
import type { RemoteAnswer, RemoteCalls } from "../world/remote-call.ts";
import type { Call, Ending, History } from "./history.ts";

/** One delivery of a call to one node. */
export interface Attempt {
  readonly call: Call;
  /** The client hung up: whoever has not begun must not begin any more. */
  abandoned: boolean;
}

const LEADER_WAIT_MS = 1_000;
const FORWARD_TIMEOUT_MS = 8_000;
const MAX_FORWARDS = 4;

export class SimulatedApi {
  readonly #hosts: readonly CoordinatorHost[];
  readonly #calls: RemoteCalls;
  readonly #history: History;

  constructor(hosts: readonly CoordinatorHost[], calls: RemoteCalls, history: History) {
    this.#hosts = hosts;
    this.#calls = calls;
    this.#history = history;
  }

  /** From a client's machine to a node. */
  post(from: string, to: CoordinatorHost, attempt: Attempt): Promise<RemoteAnswer<Ending | "gone">> {
    return this.#calls.call({
      ...{ from, caller: undefined, to: to.machine, timeoutMs: FORWARD_TIMEOUT_MS },
      target: () => to.served(),
      handle: (node) => this.#serve(to, node, attempt, MAX_FORWARDS),
    });
  }

  /** Never rejects; "gone" when nobody can tell what became of it. */
  async #serve(
    host: CoordinatorHost,
    node: CoordinatorNode,
    attempt: Attempt,
    forwards: number,
  ): Promise<Ending | "gone"> {
    for (;;) {
      const tried = await this.#submit(host, node, attempt);
      if (!(tried instanceof NotLeader)) return tried;
      if (tried.leader !== undefined && tried.leader !== host.self && forwards > 0) {
        const forwarded = await this.#forward(host, tried.leader, attempt, forwards - 1);
        if (forwarded.kind === "answered") return forwarded.value;
        if (forwarded.kind === "lost") return "gone";
      }
      if (forwards === 0 || !(await node.gateway.awaitLeader(LEADER_WAIT_MS))) return noQuorum();
      forwards -= 1;
    }
  }

  async #submit(
    { process }: CoordinatorHost,
    node: CoordinatorNode,
    { call, abandoned }: Attempt,
  ): Promise<Ending | "gone" | NotLeader> {
    if (abandoned) return "gone";
    const ending = await node.gateway.submit(call.submission).then(
      (answer): Ending => ({ kind: "committed", answer }),
      (error: unknown): Ending | NotLeader => {
        if (error instanceof SynodError) return { kind: "failed", error };
        if (error instanceof NotLeader) return error;
        throw error;
      },
    );
    if (!(ending instanceof NotLeader) && process?.alive === true) this.#history.ended(call, ending);
    return ending;
  }

  #forward(
    host: CoordinatorHost,
    leader: NodeId,
    attempt: Attempt,
    forwards: number,
  ): Promise<RemoteAnswer<Ending | "gone">> {
    const target = this.#hosts.find(({ self }) => self === leader);
    if (target === undefined) throw new Error(`there is no node ${leader}`);
    return this.#calls.call({
      ...{ from: host.machine, caller: host.process, to: target.machine },
      timeoutMs: FORWARD_TIMEOUT_MS,
      target: () => target.served(),
      handle: (node) => this.#serve(target, node, attempt, forwards),
    });
  }
}

function noQuorum(): Ending {
  return { kind: "failed", error: new SynodError("no-quorum", "nobody leads") };
}
