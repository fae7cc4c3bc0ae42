/**
 * `POST /v1/transactions/begin`, `…/{id}/statements`, `…/{id}/commit` and `DELETE /v1/transactions/{id}`. Any node takes them
 * and brings them to the leader, which holds the transaction.
 *
 * A call whose connection to the leader is lost is made again, as it is: `seq` and the transaction's id keep it from being
 * carried out twice. A `begin` may then leave a transaction behind that nobody knows; it has run nothing, and expires.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CommitBody, INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import type { InteractiveGateway } from "../transactions/gateway.ts";
import { type Calls, timeLeft } from "./calls.ts";
import { termsFor, type ApiContext } from "./context.ts";
import { readBegin, readOptionalBody, readStep } from "./interactive-request.ts";
import { PATH, readId } from "./transactions.ts";

const CREATED = 201;
const BEGIN_TIMEOUT_MS = 5_000;
/** Waiting for a place, for snapshots, and for branches that are told to roll back. */
const SLACK_MS = 10_000;

export class Interactive {
  readonly #context: ApiContext;
  readonly #calls: Calls;

  constructor(context: ApiContext, calls: Calls) {
    this.#context = context;
    this.#calls = calls;
  }

  async begin(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#calls.answer(request, response, (raw, caller) => {
      const begin = readBegin(raw, termsFor(this.#context, caller));
      const timeoutMs = BEGIN_TIMEOUT_MS + (begin.shards === undefined ? 0 : SLACK_MS);
      return {
        ...{ method: "POST", path: `${PATH}/begin`, timeoutMs },
        here: async () => {
          const body = await this.#gateway.begin(begin, caller.owner);
          return { status: CREATED, body, headers: { Location: `${PATH}/${body.id}` } };
        },
        repetition: "harmless",
      };
    });
  }

  async step(request: IncomingMessage, response: ServerResponse, idText: string): Promise<void> {
    await this.#calls.answer(request, response, (raw, caller) => {
      const id = readId(idText, caller);
      const { body: forward, ...asked } = readStep(raw, termsFor(this.#context, caller));
      return {
        ...{ method: "POST", path: `${PATH}/${id}/statements`, body: forward },
        here: async () => {
          const { response: body, replayed } = await this.#gateway.step(id, asked);
          return { body, headers: replayed ? { "Idempotent-Replayed": "true" } : {} };
        },
        timeoutMs: INTERACTIVE_LIMITS.maxStatementMs + SLACK_MS,
        repetition: "sameTransaction",
      };
    });
  }

  async commit(request: IncomingMessage, response: ServerResponse, idText: string): Promise<void> {
    await this.#calls.answer(request, response, (raw, caller) => {
      const id = readId(idText, caller);
      const terms = readOptionalBody(CommitBody, raw);
      const timeoutMs = timeLeft(terms.timeoutMs, request);
      return {
        ...{ method: "POST", path: `${PATH}/${id}/commit`, timeoutMs },
        here: async () => ({ body: await this.#gateway.commit(id, { ...terms, timeoutMs }) }),
        repetition: "sameTransaction",
      };
    });
  }

  async rollBack(
    request: IncomingMessage,
    response: ServerResponse,
    idText: string,
  ): Promise<void> {
    await this.#calls.answer(request, response, (_, caller) => {
      const id = readId(idText, caller);
      return {
        ...{ method: "DELETE", path: `${PATH}/${id}` },
        here: async () => ({ body: await this.#gateway.rollBack(id) }),
        timeoutMs: SLACK_MS,
        repetition: "sameTransaction",
      };
    });
  }

  get #gateway(): InteractiveGateway {
    return this.#context.gateway.interactive;
  }
}
