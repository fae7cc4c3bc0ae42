/** `POST /v1/transactions`, `GET /v1/transactions`, `GET /v1/transactions/{id}` and `POST /v1/reads`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { LIMITS, type ReadResponse, type TransactionStatus } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import { parseTransactionId, ZERO_BALLOT, type Ballot } from "../../shared/model/ids.ts";
import { answer, answerJson, readBody, type AnswerHeaders } from "../../shared/runtime/http.ts";
import type { SubmissionAnswer } from "../transactions/gateway.ts";
import { answerError, connectionHeaders, leaderHint, type ApiContext } from "./context.ts";
import {
  BALLOT_HEADER,
  HOPS_HEADER,
  TIMEOUT_HEADER,
  type ForwardedRequest,
  type Reply,
} from "./forwarding.ts";
import { LeaderRoute, NotLeading, type Routed } from "./leader-route.ts";
import { readListRequest } from "./list-request.ts";
import { readReadRequest, readSubmission } from "./transaction-request.ts";

export const PATH = "/v1/transactions";
const READS_PATH = "/v1/reads";
const READ_TIMEOUT_MS = 5_000;
const NO_BODY = Buffer.alloc(0);

export class Transactions {
  readonly #context: ApiContext;
  readonly route: LeaderRoute;
  #inFlight = 0;

  constructor(context: ApiContext) {
    this.#context = context;
    this.route = new LeaderRoute(context);
  }

  async submit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.admitted(request, response, async (body) => {
      const routed = await this.#submit(request, response, body);
      if (routed.kind === "relayed") {
        this.relay(response, routed.reply);
        return;
      }
      const { response: committed, replayed } = routed.answer;
      answerJson(response, 200, committed, {
        ...leaderHint(this.#context, this.#context.self),
        ...connectionHeaders(this.#context),
        ...(replayed && { "Idempotent-Replayed": "true" }),
      });
    });
  }

  async read(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.admitted(request, response, async (body) => {
      const asked = readReadRequest(rawBody(request, body), this.#context.links.shards);
      const timeoutMs = timeLeft(asked.timeoutMs, request.headers[TIMEOUT_HEADER]);
      const routed = await this.route.run<ReadResponse>({
        here: async () => ({ results: await this.#context.gateway.read({ ...asked, timeoutMs }) }),
        request: forwarded(request, READS_PATH, body),
        isForwarded: request.headers[HOPS_HEADER] !== undefined,
        timeoutMs,
        repetition: "harmless",
        isGone: () => response.destroyed,
      });
      if (routed.kind === "relayed") {
        this.relay(response, routed.reply);
        return;
      }
      answerJson(response, 200, routed.answer, {
        ...leaderHint(this.#context, this.#context.self),
        ...connectionHeaders(this.#context),
      });
    });
  }

  async status(request: IncomingMessage, response: ServerResponse, idText: string): Promise<void> {
    await this.admitted(request, response, async () => {
      const id = parseTransactionId(idText);
      if (id === undefined) {
        throw new SynodError("not-found", "this is not the id of a transaction of ours");
      }
      const status = (): Promise<TransactionStatus> => this.#context.gateway.status(id);
      await this.#read(request, response, `${PATH}/${id}`, status);
    });
  }

  async list(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.admitted(request, response, async () => {
      const url = request.url ?? PATH;
      const query = readListRequest(url);
      await this.#read(request, response, url, () => this.#context.gateway.list(query));
    });
  }

  /** What only the leader may know, from any node. */
  async #read<Answer>(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    here: () => Promise<Answer>,
  ): Promise<void> {
    const routed = await this.route.run<Answer>({
      here,
      request: { method: "GET", path, headers: identity(request) },
      isForwarded: request.headers[HOPS_HEADER] !== undefined,
      timeoutMs: READ_TIMEOUT_MS,
      repetition: "harmless",
      isGone: () => response.destroyed,
    });
    if (routed.kind === "relayed") {
      this.relay(response, routed.reply);
      return;
    }
    answerJson(response, 200, routed.answer, {
      ...leaderHint(this.#context, this.#context.gateway.view().leader),
      ...connectionHeaders(this.#context),
    });
  }

  /**
   * Runs `handle` unless the node is draining or has too many requests; answers what it throws. A request counts from the end of
   * its body: whoever sends that slowly takes nobody's place.
   */
  async admitted(
    request: IncomingMessage,
    response: ServerResponse,
    handle: (body: Buffer) => Promise<void>,
  ): Promise<void> {
    const { isDraining, maxInFlight } = this.#context;
    let body: Buffer = NO_BODY;
    try {
      if (request.method === "POST") body = await readBody(request, LIMITS.maxBodyBytes);
    } catch (error) {
      answerError(this.#context, request, response, error);
      return;
    }
    this.#inFlight += 1;
    try {
      if (isDraining()) throw new SynodError("draining", "this node is shutting down");
      if (this.#inFlight > maxInFlight) {
        throw new SynodError("overloaded", `this node serves ${maxInFlight} requests at once`);
      }
      await handle(body);
    } catch (error) {
      answerError(this.#context, request, response, error);
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #submit(
    request: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
  ): Promise<Routed<SubmissionAnswer>> {
    const { gateway, links } = this.#context;
    const { headers } = request;
    const isForwarded = headers[HOPS_HEADER] !== undefined;
    const idempotencyKey = headers["idempotency-key"] as string | undefined;
    const read = readSubmission({ ...rawBody(request, body), idempotencyKey }, links.shards);
    const timeoutMs = timeLeft(read.request.timeoutMs, headers[TIMEOUT_HEADER]);
    const asked = { ...read, request: { ...read.request, timeoutMs } };
    const submission = isForwarded ? { ...asked, meantFor: ballotMeant(headers) } : asked;
    return this.route.run({
      here: () => gateway.submit(submission),
      request: forwarded(request, PATH, body),
      isForwarded,
      timeoutMs: submission.request.timeoutMs,
      repetition: submission.idempotency === null ? "runsAgain" : "sameKey",
      isGone: () => response.destroyed,
    });
  }

  relay(response: ServerResponse, { status, headers, body }: Reply): void {
    const { "content-type": contentType = "application/json", ...others } = headers;
    answer(response, status, contentType, body, {
      ...others,
      ...connectionHeaders(this.#context),
    });
  }
}

/** A forwarded request that does not say whom it means is refused like one that means somebody else. */
function ballotMeant(headers: IncomingMessage["headers"]): Ballot {
  const ballot = Number(headers[BALLOT_HEADER]);
  if (!Number.isSafeInteger(ballot) || ballot <= ZERO_BALLOT) throw new NotLeading();
  return ballot as Ballot;
}

/** A node that forwards says what is left of the client's time. */
export function timeLeft(timeoutMs: number, left: string | string[] | undefined): number {
  const leftMs = Number(left);
  if (!Number.isSafeInteger(leftMs) || leftMs < 1 || leftMs >= timeoutMs) return timeoutMs;
  return Math.max(leftMs, LIMITS.minTimeoutMs);
}

function rawBody({ headers }: IncomingMessage, body: Buffer) {
  const { "content-type": contentType, "content-encoding": contentEncoding } = headers;
  return { body, contentType, contentEncoding };
}

/** Whoever asked this node asks the leader: it knows him as well. */
export function identity({ headers: { authorization } }: IncomingMessage): AnswerHeaders {
  return authorization === undefined ? {} : { Authorization: authorization };
}

function forwarded(request: IncomingMessage, path: string, body: Buffer): ForwardedRequest {
  const key = request.headers["idempotency-key"];
  return {
    method: "POST",
    path,
    headers: {
      "Content-Type": "application/json",
      ...(typeof key === "string" && { "Idempotency-Key": key }),
      ...identity(request),
    },
    body,
  };
}
