/** `POST /v1/transactions`, `GET /v1/transactions`, `GET /v1/transactions/{id}` and `POST /v1/reads`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { SynodError } from "../../shared/model/errors.ts";
import {
  parseTransactionId,
  ZERO_BALLOT,
  type Ballot,
  type TransactionId,
} from "../../shared/model/ids.ts";
import { type Calls, isForwarded, timeLeft } from "./calls.ts";
import type { ApiContext } from "./context.ts";
import { BALLOT_HEADER } from "./forwarding.ts";
import { NotLeading } from "./leader-route.ts";
import { readListRequest } from "./list-request.ts";
import { readReadRequest, readSubmission } from "./transaction-request.ts";

export const PATH = "/v1/transactions";
const READS_PATH = "/v1/reads";
/** To look at what the leader knows. */
const VIEW_TIMEOUT_MS = 5_000;

export class Transactions {
  readonly #context: ApiContext;
  readonly #calls: Calls;

  constructor(context: ApiContext, calls: Calls) {
    this.#context = context;
    this.#calls = calls;
  }

  async submit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { gateway, links } = this.#context;
    await this.#calls.answer(request, response, (raw) => {
      const key = request.headers["idempotency-key"] as string | undefined;
      const read = readSubmission(raw, key, links.shards);
      const timeoutMs = timeLeft(read.request.timeoutMs, request);
      const asked = { ...read, request: { ...read.request, timeoutMs } };
      const submission = isForwarded(request)
        ? { ...asked, meantFor: ballotMeant(request) }
        : asked;
      return {
        ...{ method: "POST", path: PATH, timeoutMs },
        here: async () => {
          const { response: body, replayed } = await gateway.submit(submission);
          return { body, headers: replayed ? { "Idempotent-Replayed": "true" } : {} };
        },
        repetition: submission.idempotency === null ? "runsAgain" : "sameKey",
      };
    });
  }

  async read(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { gateway, links } = this.#context;
    await this.#calls.answer(request, response, (raw) => {
      const asked = readReadRequest(raw, links.shards);
      const timeoutMs = timeLeft(asked.timeoutMs, request);
      return {
        ...{ method: "POST", path: READS_PATH, timeoutMs, repetition: "harmless" },
        here: async () => ({ body: { results: await gateway.read({ ...asked, timeoutMs }) } }),
      };
    });
  }

  async status(request: IncomingMessage, response: ServerResponse, idText: string): Promise<void> {
    await this.#calls.answer(request, response, () => {
      const id = readId(idText);
      return {
        ...{ method: "GET", path: `${PATH}/${id}` },
        ...{ timeoutMs: VIEW_TIMEOUT_MS, repetition: "harmless" },
        here: async () => ({ body: await this.#context.gateway.status(id) }),
      };
    });
  }

  async list(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#calls.answer(request, response, () => {
      const path = request.url ?? PATH;
      const query = readListRequest(path);
      return {
        ...{ method: "GET", path, timeoutMs: VIEW_TIMEOUT_MS, repetition: "harmless" },
        here: async () => ({ body: await this.#context.gateway.list(query) }),
      };
    });
  }
}

/** Throws `not-found`. */
export function readId(text: string): TransactionId {
  const id = parseTransactionId(text);
  if (id !== undefined) return id;
  throw new SynodError("not-found", "this is not the id of a transaction of ours");
}

/** A forwarded request that does not say whom it means is refused like one that means somebody else. */
function ballotMeant({ headers }: IncomingMessage): Ballot {
  const ballot = Number(headers[BALLOT_HEADER]);
  if (!Number.isSafeInteger(ballot) || ballot <= ZERO_BALLOT) throw new NotLeading();
  return ballot as Ballot;
}
