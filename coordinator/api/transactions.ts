/** `POST /v1/transactions`, `GET /v1/transactions` and `GET /v1/transactions/{id}`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { LIMITS, type TransactionStatus } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import { parseTransactionId } from "../../shared/model/ids.ts";
import { answer, answerJson, readBody } from "../../shared/runtime/http.ts";
import type { Submission, SubmissionAnswer } from "../transactions/gateway.ts";
import { answerError, connectionHeaders, leaderHint, type ApiContext } from "./context.ts";
import { HOPS_HEADER, TIMEOUT_HEADER, type ForwardedRequest, type Reply } from "./forwarding.ts";
import { LeaderRoute, type Routed } from "./leader-route.ts";
import { readListRequest } from "./list-request.ts";
import { readSubmission } from "./transaction-request.ts";

export const PATH = "/v1/transactions";
const READ_TIMEOUT_MS = 5_000;

export class Transactions {
  readonly #context: ApiContext;
  readonly route: LeaderRoute;
  #inFlight = 0;

  constructor(context: ApiContext) {
    this.#context = context;
    this.route = new LeaderRoute(context);
  }

  async submit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.admitted(request, response, async () => {
      const body = await readBody(request, LIMITS.maxBodyBytes);
      const routed = await this.#submit(request, body);
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
      request: { method: "GET", path, headers: {} },
      isForwarded: request.headers[HOPS_HEADER] !== undefined,
      timeoutMs: READ_TIMEOUT_MS,
      repetition: "harmless",
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

  /** Runs `handle` unless the node is draining or has too many requests; answers what it throws. */
  async admitted(
    request: IncomingMessage,
    response: ServerResponse,
    handle: () => Promise<void>,
  ): Promise<void> {
    const { isDraining, maxInFlight } = this.#context;
    this.#inFlight += 1;
    try {
      if (isDraining()) throw new SynodError("draining", "this node is shutting down");
      if (this.#inFlight > maxInFlight) {
        throw new SynodError("overloaded", `this node serves ${maxInFlight} requests at once`);
      }
      await handle();
    } catch (error) {
      answerError(this.#context, request, response, error);
    } finally {
      this.#inFlight -= 1;
    }
  }

  #submit(request: IncomingMessage, body: Buffer): Promise<Routed<SubmissionAnswer>> {
    const { gateway, links } = this.#context;
    const { headers } = request;
    const submission = withinTimeLeft(
      readSubmission(
        {
          body,
          contentType: headers["content-type"],
          contentEncoding: headers["content-encoding"],
          idempotencyKey: headers["idempotency-key"] as string | undefined,
        },
        links.shards,
      ),
      headers[TIMEOUT_HEADER],
    );
    return this.route.run({
      here: () => gateway.submit(submission),
      request: forwarded(request, body),
      isForwarded: headers[HOPS_HEADER] !== undefined,
      timeoutMs: submission.request.timeoutMs,
      repetition: submission.idempotency === null ? "runsAgain" : "sameKey",
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

function withinTimeLeft(submission: Submission, left: string | string[] | undefined): Submission {
  const { request } = submission;
  const timeoutMs = timeLeft(request.timeoutMs, left);
  return timeoutMs === request.timeoutMs
    ? submission
    : { ...submission, request: { ...request, timeoutMs } };
}

/** What the client allows, or less where another node has used some of it. */
export function timeLeft(timeoutMs: number, left: string | string[] | undefined): number {
  const leftMs = Number(left);
  if (!Number.isSafeInteger(leftMs) || leftMs < 1 || leftMs >= timeoutMs) return timeoutMs;
  return Math.max(leftMs, LIMITS.minTimeoutMs);
}

function forwarded(request: IncomingMessage, body: Buffer): ForwardedRequest {
  const key = request.headers["idempotency-key"];
  return {
    method: "POST",
    path: PATH,
    headers: {
      "Content-Type": "application/json",
      ...(typeof key === "string" && { "Idempotency-Key": key }),
    },
    body,
  };
}
