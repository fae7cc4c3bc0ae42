/**
 * `POST /v1/transactions/begin`, `…/{id}/statements`, `…/{id}/commit` and `DELETE /v1/transactions/{id}`. Any node takes them
 * and brings them to the leader, which holds the transaction.
 *
 * A call whose connection to the leader is lost is made again, as it is: `seq` and the transaction's id keep it from being
 * carried out twice. A `begin` may then leave a transaction behind that nobody knows; it has run nothing, and expires.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { SynodError } from "../../shared/model/errors.ts";
import { parseTransactionId, type TransactionId } from "../../shared/model/ids.ts";
import { BeginRequest, CommitBody, INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import { type AnswerHeaders, answerJson } from "../../shared/runtime/http.ts";
import { connectionHeaders, leaderHint, type ApiContext } from "./context.ts";
import { HOPS_HEADER, TIMEOUT_HEADER } from "./forwarding.ts";
import { readOptionalBody, readStep, type RawBody } from "./interactive-request.ts";
import type { InteractiveGateway } from "../transactions/gateway.ts";
import type { Repetition } from "./leader-route.ts";
import { PATH, identity, timeLeft, type Transactions } from "./transactions.ts";

const OK = 200;
const CREATED = 201;
const BEGIN_TIMEOUT_MS = 5_000;
/** Waiting for a place, and for branches that are told to roll back. */
const SLACK_MS = 10_000;

interface Call {
  readonly method: "POST" | "DELETE";
  readonly path: string;
  readonly here: () => Promise<Told>;
  readonly body: Buffer;
  readonly timeoutMs: number;
  readonly repetition: Repetition;
}

interface Told {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: AnswerHeaders;
}

export class Interactive {
  readonly #context: ApiContext;
  readonly #transactions: Transactions;

  constructor(context: ApiContext, transactions: Transactions) {
    this.#context = context;
    this.#transactions = transactions;
  }

  async begin(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#answer(request, response, (raw) => {
      const begin = readOptionalBody(BeginRequest, raw);
      return {
        ...{ method: "POST", path: `${PATH}/begin`, body: raw.body, timeoutMs: BEGIN_TIMEOUT_MS },
        here: async () => {
          const body = await this.#gateway.begin(begin);
          return { status: CREATED, body, headers: { Location: `${PATH}/${body.id}` } };
        },
        repetition: "harmless",
      };
    });
  }

  async step(request: IncomingMessage, response: ServerResponse, idText: string): Promise<void> {
    await this.#answer(request, response, (raw) => {
      const id = readId(idText);
      const asked = readStep(raw, this.#context.links.shards);
      return {
        ...{ method: "POST", path: `${PATH}/${id}/statements`, body: raw.body },
        here: async () => {
          const { response: body, replayed } = await this.#gateway.step(id, asked);
          return { status: OK, body, headers: replayed ? { "Idempotent-Replayed": "true" } : {} };
        },
        timeoutMs: INTERACTIVE_LIMITS.maxStatementMs + SLACK_MS,
        repetition: "sameTransaction",
      };
    });
  }

  async commit(request: IncomingMessage, response: ServerResponse, idText: string): Promise<void> {
    await this.#answer(request, response, (raw) => {
      const id = readId(idText);
      const terms = readOptionalBody(CommitBody, raw);
      const timeoutMs = timeLeft(terms.timeoutMs, request.headers[TIMEOUT_HEADER]);
      return {
        ...{ method: "POST", path: `${PATH}/${id}/commit`, body: raw.body, timeoutMs },
        here: async () => {
          return { status: OK, body: await this.#gateway.commit(id, { ...terms, timeoutMs }) };
        },
        repetition: "sameTransaction",
      };
    });
  }

  async rollBack(
    request: IncomingMessage,
    response: ServerResponse,
    idText: string,
  ): Promise<void> {
    await this.#answer(request, response, () => {
      const id = readId(idText);
      return {
        ...{ method: "DELETE", path: `${PATH}/${id}`, body: Buffer.alloc(0) },
        here: async () => ({ status: OK, body: await this.#gateway.rollBack(id) }),
        timeoutMs: SLACK_MS,
        repetition: "sameTransaction",
      };
    });
  }

  get #gateway(): InteractiveGateway {
    return this.#context.gateway.interactive;
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    read: (raw: RawBody) => Call,
  ): Promise<void> {
    const context = this.#context;
    await this.#transactions.admitted(request, response, async (bytes) => {
      const { headers } = request;
      const call = read({
        body: bytes,
        contentType: headers["content-type"],
        contentEncoding: headers["content-encoding"],
      });
      const { method, path, body, here, timeoutMs, repetition } = call;
      const isEmpty = body.length === 0;
      const about = { ...identity(request), ...(!isEmpty && JSON_BODY) };
      const forwarded = { method, path, headers: about };
      const routed = await this.#transactions.route.run({
        ...{ here, timeoutMs, repetition },
        request: isEmpty ? forwarded : { ...forwarded, body },
        isForwarded: headers[HOPS_HEADER] !== undefined,
        isGone: () => response.destroyed,
      });
      if (routed.kind === "relayed") {
        this.#transactions.relay(response, routed.reply);
        return;
      }
      const { status, body: told, headers: more } = routed.answer;
      answerJson(response, status, told, {
        ...leaderHint(context, context.gateway.view().leader),
        ...connectionHeaders(context),
        ...more,
      });
    });
  }
}

const JSON_BODY: AnswerHeaders = { "Content-Type": "application/json" };

function readId(text: string): TransactionId {
  const id = parseTransactionId(text);
  if (id !== undefined) return id;
  throw new SynodError("not-found", "this is not the id of a transaction of ours");
}
