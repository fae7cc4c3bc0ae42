/** `POST /v1/transactions`, `GET /v1/transactions`, `GET /v1/transactions/{id}` and `POST /v1/reads`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { readTransactionId } from "../../shared/model/id-check.ts";
import { ZERO_BALLOT, type Ballot, type TransactionId } from "../../shared/model/ids.ts";
import { noSuchTransaction } from "../transactions/answer.ts";
import type { Principal } from "./access/gate.ts";
import type { Submission } from "../transactions/gateway.ts";
import { type Calls, timeLeft } from "./calls.ts";
import { termsFor, type ApiContext } from "./context.ts";
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
    const { gateway } = this.#context;
    await this.#calls.answer(request, response, (raw, caller) => {
      const key = request.headers["idempotency-key"] as string | undefined;
      const client = caller.id === "" ? null : caller.id;
      const terms = termsFor(this.#context, caller);
      const {
        request: asked,
        idempotency,
        body: forward,
      } = readSubmission(raw, key, client, terms);
      const timeoutMs = timeLeft(asked.timeoutMs, request);
      const submission: Submission = {
        ...{ request: { ...asked, timeoutMs }, idempotency },
        ...(caller.owner !== undefined && { owner: caller.owner }),
        ...(caller.isForwarded && { meantFor: ballotMeant(request) }),
      };
      return {
        ...{ method: "POST", path: PATH, body: forward, timeoutMs },
        here: async () => {
          const { response: body, replayed } = await gateway.submit(submission);
          return { body, headers: replayed ? { "Idempotent-Replayed": "true" } : {} };
        },
        repetition: idempotency === null ? "runsAgain" : "sameKey",
      };
    });
  }

  async read(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { gateway } = this.#context;
    await this.#calls.answer(request, response, (raw, caller) => {
      const { request: asked, body } = readReadRequest(raw, termsFor(this.#context, caller));
      const timeoutMs = timeLeft(asked.timeoutMs, request);
      return {
        ...{ method: "POST", path: READS_PATH, body, timeoutMs, repetition: "harmless" },
        here: async () => ({ body: { results: await gateway.read({ ...asked, timeoutMs }) } }),
      };
    });
  }

  async status(request: IncomingMessage, response: ServerResponse, idText: string): Promise<void> {
    await this.#calls.answer(request, response, (_, caller) => {
      const id = readId(idText, caller);
      return {
        ...{ method: "GET", path: `${PATH}/${id}` },
        ...{ timeoutMs: VIEW_TIMEOUT_MS, repetition: "harmless" },
        here: async () => ({ body: await this.#context.gateway.status(id) }),
      };
    });
  }

  async list(request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#calls.answer(request, response, (_, { sees }) => {
      const path = request.url ?? PATH;
      const query = readListRequest(path);
      return {
        ...{ method: "GET", path, timeoutMs: VIEW_TIMEOUT_MS, repetition: "harmless" },
        here: async () => ({ body: await this.#context.gateway.list(query, sees) }),
      };
    });
  }
}

/** Throws `not-found`, in the same words for what is somebody else's, what is mistyped and what was never given. */
export function readId(text: string, { sees }: Principal): TransactionId {
  const id = readTransactionId(text);
  if (id !== undefined && sees(id)) return id;
  throw noSuchTransaction();
}

/** A forwarded request that does not say whom it means is refused like one that means somebody else. */
function ballotMeant({ headers }: IncomingMessage): Ballot {
  const ballot = Number(headers[BALLOT_HEADER]);
  if (!Number.isSafeInteger(ballot) || ballot <= ZERO_BALLOT) throw new NotLeading();
  return ballot as Ballot;
}
