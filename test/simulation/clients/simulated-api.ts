/**
 * coordinator/api without HTTP: the production LeaderRoute over simulated connections, so that any node takes a request and
 * followers forward it.
 */
import {
  BALLOT_HEADER,
  type Attempt as Forwarded,
  type ForwardedRequest,
  type Reply,
} from "../../../coordinator/api/forwarding.ts";
import {
  CallerGone,
  LeaderRoute,
  NotLeading,
  type Route,
} from "../../../coordinator/api/leader-route.ts";
import {
  type InteractiveGateway,
  NotLeader,
  type SubmissionAnswer,
} from "../../../coordinator/transactions/gateway.ts";
import type { CoordinatorNode } from "../../../coordinator/coordinator-node.ts";
import type { OperationResult, ReadRequest, TransactionStatus } from "../../../shared/model/api.ts";
import { assert } from "../../../shared/model/assert.ts";
import { SynodError, type ErrorCode, type ErrorDetail } from "../../../shared/model/errors.ts";
import {
  parseTransactionId,
  type Ballot,
  type ShardId,
  type TransactionId,
} from "../../../shared/model/ids.ts";
import { BeginRequest } from "../../../shared/model/interactive.ts";
import type { Checkers } from "../checkers/checkers.ts";
import { demand } from "../checkers/violation.ts";
import type { CoordinatorHost, LivingCoordinator } from "../world/coordinator-host.ts";
import type { RemoteAnswer, RemoteCalls } from "../world/remote-call.ts";
import type { Trace } from "../world/trace.ts";
import type { Call, Ending, History } from "./history.ts";

/** One delivery of a call to one node. */
export interface Attempt {
  readonly call: Call;
  /** The client hung up: the node that it asked begins nothing for it any more, here or elsewhere. */
  abandoned: boolean;
}

/** `gone`: the client hung up before anything began. `refused`: a forwarded request met a node that does not lead. */
export type Served = Ending | "gone" | "refused";

const LEADER_WAIT_MS = 1_000;
const CLIENT_TIMEOUT_MS = 20_000;
const STATUS_TIMEOUT_MS = 1_000;
const REPLY_GRACE_MS = 1_000;

type Wire =
  | { readonly kind: "committed"; readonly answer: SubmissionAnswer }
  | {
      readonly kind: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly detail: ErrorDetail;
    };

export class SimulatedApi {
  readonly #hosts: readonly CoordinatorHost[];
  readonly #calls: RemoteCalls;
  readonly #history: History;
  readonly #trace: Trace;
  readonly #checkers: Checkers;

  constructor(
    hosts: readonly CoordinatorHost[],
    calls: RemoteCalls,
    history: History,
    trace: Trace,
    checkers: Checkers,
  ) {
    this.#checkers = checkers;
    this.#hosts = hosts;
    this.#calls = calls;
    this.#history = history;
    this.#trace = trace;
  }

  /** From a client's machine to a node. */
  post(from: string, to: CoordinatorHost, attempt: Attempt): Promise<RemoteAnswer<Served>> {
    return this.#calls.call({
      ...{ from, caller: undefined, to: to.machine, timeoutMs: CLIENT_TIMEOUT_MS },
      outlivesCaller: false,
      target: () => to.served(),
      handle: (living) => this.#serve(living, attempt, undefined),
    });
  }

  /** What one node says has become of a transaction; undefined when only the leader can tell. */
  askStatus(
    from: string,
    to: CoordinatorHost,
    id: TransactionId,
  ): Promise<RemoteAnswer<TransactionStatus | undefined>> {
    return this.#calls.call({
      ...{ from, caller: undefined, to: to.machine, timeoutMs: STATUS_TIMEOUT_MS },
      outlivesCaller: true,
      target: () => to.served(),
      handle: (living) => this.#status(living, id),
    });
  }

  /** What one node reads, in one request or step by step on a snapshot, or why it does not. */
  read(
    from: string,
    to: CoordinatorHost,
    request: ReadRequest,
    isOnSnapshot: boolean,
  ): Promise<RemoteAnswer<readonly bigint[] | ErrorCode | "not leading">> {
    return this.#calls.call({
      ...{ from, caller: undefined, to: to.machine, timeoutMs: request.timeoutMs + REPLY_GRACE_MS },
      target: () => to.served(),
      outlivesCaller: true,
      handle: ({ node }) => readFrom(node, request, isOnSnapshot),
    });
  }

  async #status(
    { node, process, host }: LivingCoordinator,
    id: TransactionId,
  ): Promise<TransactionStatus | undefined> {
    try {
      const status = await node.gateway.status(id);
      if (process.alive) this.#checkers.toldOfTransaction(host.machine, id, status.state);
      return status;
    } catch (error) {
      if (error instanceof NotLeader) return undefined;
      const isDenied = error instanceof SynodError && error.code === "not-found";
      demand(!isDenied, "honest status", () => `${host.machine} has no ${id}, which was given`);
      throw error;
    }
  }

  /** `meantFor`: of a forwarded request. Never rejects for anything that the world can do. */
  async #serve(
    living: LivingCoordinator,
    attempt: Attempt,
    meantFor: Ballot | undefined,
  ): Promise<Served> {
    const isForwarded = meantFor !== undefined;
    const { call } = attempt;
    const { submission } = call;
    const route: Route<SubmissionAnswer> = {
      here: () => this.#submit(living, attempt, meantFor),
      request: { method: "POST", path: "", headers: {} },
      isForwarded,
      timeoutMs: submission.request.timeoutMs,
      repetition: submission.idempotency === null ? "runsAgain" : "sameKey",
      isGone: () => !isForwarded && attempt.abandoned,
    };
    try {
      const routed = await this.#leaderRoute(living, attempt).run(route);
      return routed.kind === "here"
        ? { kind: "committed", answer: routed.answer }
        : fromReply(routed.reply);
    } catch (error) {
      if (error instanceof CallerGone) return "gone";
      if (error instanceof NotLeading) return "refused";
      if (error instanceof SynodError) return { kind: "failed", error };
      throw error;
    }
  }

  async #submit(
    living: LivingCoordinator,
    { call }: Attempt,
    meantFor: Ballot | undefined,
  ): Promise<SubmissionAnswer> {
    const submission = { ...call.submission, ...(meantFor !== undefined && { meantFor }) };
    const { process, node, host } = living;
    this.#trace.line(host.machine, `takes ${call.name}`);
    try {
      const answer = await node.gateway.submit(submission);
      const { id, pendingShards } = answer.response;
      this.#trace.line(
        host.machine,
        `${call.name} committed as ${id}, pending ${pendingShards.join()}`,
      );
      if (process.alive) this.#history.ended(call, { kind: "committed", answer });
      return answer;
    } catch (error) {
      this.#trace.line(host.machine, `${call.name} failed: ${String(error)}`);
      const isAnswer = error instanceof SynodError && process.alive;
      if (isAnswer) this.#history.ended(call, { kind: "failed", error });
      throw error;
    }
  }

  #leaderRoute({ node, clock, self, host }: LivingCoordinator, attempt: Attempt): LeaderRoute {
    return new LeaderRoute({
      gateway: node.gateway,
      self,
      coordinators: new Map(this.#hosts.map((other) => [other.self, other.machine])),
      forward: (url, request, timeoutMs) => this.#forward(host, url, attempt, request, timeoutMs),
      clock,
      leaderWaitMs: LEADER_WAIT_MS,
    });
  }

  async #forward(
    from: CoordinatorHost,
    to: string,
    attempt: Attempt,
    { headers }: ForwardedRequest,
    timeoutMs: number,
  ): Promise<Forwarded> {
    const target = this.#hosts.find(({ machine }) => machine === to);
    if (target === undefined) throw new Error(`there is no node ${to}`);
    const answer = await this.#calls.call({
      ...{ from: from.machine, caller: from.process, to, timeoutMs: timeoutMs + REPLY_GRACE_MS },
      outlivesCaller: true,
      target: () => target.served(),
      handle: (living) => this.#serve(living, attempt, Number(headers[BALLOT_HEADER]) as Ballot),
    });
    if (answer.kind === "notReached") return { kind: "notBegun" };
    if (answer.kind === "lost" || answer.value === "gone") return { kind: "lost" };
    if (answer.value === "refused") return { kind: "notBegun" };
    return { kind: "answered", reply: toReply(answer.value) };
  }
}

/** The transaction that an ending is about, if it names one. */
export function transactionOf(ending: Ending): TransactionId | undefined {
  const id =
    ending.kind === "committed" ? ending.answer.response.id : ending.error.detail.transactionId;
  return id === undefined ? undefined : parseTransactionId(id);
}

function toReply(ending: Ending): Reply {
  const wire: Wire =
    ending.kind === "committed"
      ? ending
      : {
          kind: "failed",
          code: ending.error.code,
          message: ending.error.message,
          detail: ending.error.detail,
        };
  const status = ending.kind === "committed" ? 200 : 500;
  return { status, headers: {}, body: Buffer.from(JSON.stringify(wire)) };
}

function fromReply({ body }: Reply): Ending {
  const wire = JSON.parse(body.toString("utf8")) as Wire;
  return wire.kind === "committed"
    ? wire
    : { kind: "failed", error: new SynodError(wire.code, wire.message, wire.detail) };
}

async function readFrom(
  { gateway }: CoordinatorNode,
  request: ReadRequest,
  isOnSnapshot: boolean,
): Promise<readonly bigint[] | ErrorCode | "not leading"> {
  try {
    const results = await (isOnSnapshot
      ? readStepByStep(gateway.interactive, request)
      : gateway.read(request));
    return results.map(({ rows: [row] }) => BigInt(String(row?.["value"])));
  } catch (error) {
    if (error instanceof NotLeader) return "not leading";
    if (error instanceof SynodError) return error.code;
    throw error;
  }
}

async function readStepByStep(
  gateway: InteractiveGateway,
  { operations, timeoutMs }: ReadRequest,
): Promise<readonly OperationResult[]> {
  const shards = [...new Set(operations.map(({ shard }) => shard))];
  const begun = await gateway.begin(
    BeginRequest.parse({ isolation: "snapshot", shards, timeoutMs }),
  );
  const id = parseTransactionId(begun.id);
  assert(id !== undefined, "what is begun has an id");
  const results: OperationResult[] = [];
  for (const [place, { shard, sql, params }] of operations.entries()) {
    const operation = { sql, params, index: 0 };
    const step = { kind: "operation", shard: shard as ShardId, operation } as const;
    const { response } = await gateway.step(id, { seq: place + 1, step, fingerprint: `${place}` });
    assert("rows" in response, "a statement is answered with rows");
    results.push(response);
  }
  await gateway.rollBack(id);
  return results;
}
