/** What calls about transactions have in common: each is admitted, brought to the leader by any node, and answered. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { LIMITS } from "../../shared/model/api.ts";
import { SynodError } from "../../shared/model/errors.ts";
import { answer, answerJson, type AnswerHeaders } from "../../shared/runtime/http.ts";
import { clientHeaders, type Principal } from "./access/gate.ts";
import { answerError, connectionHeaders, leaderHint, type ApiContext } from "./context.ts";
import { TIMEOUT_HEADER, type ForwardedRequest, type Reply } from "./forwarding.ts";
import { LeaderRoute } from "./leader-route.ts";
import type { Repetition } from "./repetition.ts";
import { rawBody, type RawBody } from "./request-body.ts";

export interface Call {
  readonly method: ForwardedRequest["method"];
  readonly path: string;
  /** For the leader, where this node is not it; what came when missing. */
  readonly body?: Buffer;
  /** Carries it out if this node may. */
  readonly here: () => Promise<Told>;
  readonly timeoutMs: number;
  readonly repetition: Repetition;
}

export interface Told {
  readonly status?: number;
  readonly body: unknown;
  readonly headers?: AnswerHeaders;
}

const OK = 200;
const JSON_BODY: AnswerHeaders = { "Content-Type": "application/json" };

export class Calls {
  readonly #context: ApiContext;
  readonly #route: LeaderRoute;
  #inFlight = 0;

  constructor(context: ApiContext) {
    this.#context = context;
    this.#route = new LeaderRoute(context);
  }

  /** Unless the node is draining or has too many requests. What `read` and the call throw is answered, too. */
  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    read: (raw: RawBody, caller: Principal) => Call,
  ): Promise<void> {
    try {
      const raw = await rawBody(request);
      const caller = this.#context.gate.caller(request);
      await this.#admitted(() =>
        this.#run(request, response, caller, { body: raw.body, ...read(raw, caller) }),
      );
    } catch (error) {
      answerError(this.#context, request, response, error);
    }
  }

  /** A request counts from the end of its body: whoever sends that slowly takes nobody's place. */
  async #admitted(carryOut: () => Promise<void>): Promise<void> {
    const { isDraining, maxInFlight } = this.#context;
    this.#inFlight += 1;
    try {
      if (isDraining()) throw new SynodError("draining", "this node is shutting down");
      if (this.#inFlight > maxInFlight) {
        throw new SynodError("overloaded", `this node serves ${maxInFlight} requests at once`);
      }
      await carryOut();
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #run(
    request: IncomingMessage,
    response: ServerResponse,
    caller: Principal,
    { method, path, body, here, timeoutMs, repetition }: Required<Call>,
  ): Promise<void> {
    const isEmpty = body.length === 0;
    const headers = { ...passedOn(request, caller), ...(!isEmpty && JSON_BODY) };
    const routed = await this.#route.run({
      ...{ here, timeoutMs, repetition },
      request: { method, path, headers, ...(!isEmpty && { body }) },
      isForwarded: caller.isForwarded,
      isGone: () => response.destroyed,
    });
    if (routed.kind === "relayed") {
      this.#relay(response, routed.reply);
      return;
    }
    const { status = OK, body: told, headers: more } = routed.answer;
    answerJson(response, status, told, {
      ...leaderHint(this.#context, this.#context.gateway.view().leader),
      ...connectionHeaders(this.#context),
      ...more,
    });
  }

  #relay(response: ServerResponse, { status, headers, body }: Reply): void {
    const { "content-type": contentType = "application/json", ...others } = headers;
    answer(response, status, contentType, body, {
      ...others,
      ...connectionHeaders(this.#context),
    });
  }
}

/** A node that forwards says what is left of the client's time. */
export function timeLeft(timeoutMs: number, { headers }: IncomingMessage): number {
  const leftMs = Number(headers[TIMEOUT_HEADER]);
  if (!Number.isSafeInteger(leftMs) || leftMs < 1 || leftMs >= timeoutMs) return timeoutMs;
  return Math.max(leftMs, LIMITS.minTimeoutMs);
}

/** His token stays here: this node vouches for the client. */
function passedOn({ headers }: IncomingMessage, caller: Principal): AnswerHeaders {
  const { "idempotency-key": key } = headers;
  return {
    ...clientHeaders(caller),
    ...(typeof key === "string" && { "Idempotency-Key": key }),
  };
}
