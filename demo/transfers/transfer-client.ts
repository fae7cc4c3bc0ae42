/**
 * Brings one request to exactly one outcome, whatever happens to coordinators on the way.
 *
 * Every attempt carries the same idempotency key and goes to the next coordinator. `committed` and `aborted` are
 * definite. `not_started` speaks of its own attempt only: an earlier attempt, whose answer was lost, may have
 * committed all the same; so it is never the last word here, and the next attempt asks again.
 */
import { Agent } from "node:http";
import { setTimeout } from "node:timers/promises";
import axios, { type AxiosInstance } from "axios";
import { z } from "zod";
import { requestBody, type Transfer, type TransferOutcome } from "./transfer.ts";

export interface TransferClient {
  /** Never rejects for what the network or the cluster does; throws when the cluster calls the request wrong. */
  send(transfer: Transfer): Promise<TransferOutcome>;
  close(): void;
}

export interface KeyedClient {
  /** As `TransferClient.send`, of any body. */
  send(key: string, body: object): Promise<TransferOutcome>;
  close(): void;
}

export interface TransferClientOptions {
  readonly urls: readonly string[];
  /** Which of them is asked first. */
  readonly startAt: number;
  /** Called for each answer `unknown` and each lost connection. */
  readonly onUnknown: () => void;
}

/** Well beyond the transaction's own deadline: a request given up here may still be waiting to be run. */
const REQUEST_TIMEOUT_MS = 15_000;
const RESOLVE_DEADLINE_MS = 30_000;
const LOWEST_BACKOFF_MS = 10;
const HIGHEST_BACKOFF_MS = 250;

const Problem = z.object({
  code: z.string(),
  detail: z.string().optional(),
  outcome: z.enum(["not_started", "aborted", "committed", "unknown"]),
  retryable: z.boolean(),
});
const Committed = z.object({ outcome: z.literal("committed") });

/** What one attempt tells. `lost`: no answer, but the request may have arrived. */
type Attempt =
  | { readonly kind: "definite"; readonly outcome: TransferOutcome }
  | { readonly kind: "lost" | "notStarted"; readonly reason: string };

export function openTransferClient(options: TransferClientOptions): TransferClient {
  const client = openKeyedClient(options);
  return {
    send: (transfer) => client.send(transfer.id, requestBody(transfer)),
    close: () => {
      client.close();
    },
  };
}

export function openKeyedClient(options: TransferClientOptions): KeyedClient {
  const agent = new Agent({ keepAlive: true });
  const http = axios.create({
    httpAgent: agent,
    timeout: REQUEST_TIMEOUT_MS,
    maxRedirects: 0,
    proxy: false,
    validateStatus: () => true,
  });
  let turn = options.startAt;
  const nextUrl = (): string => {
    turn += 1;
    return options.urls[turn % options.urls.length] ?? "";
  };
  return {
    send: async (key, body) => {
      const deadline = performance.now() + RESOLVE_DEADLINE_MS;
      for (let failures = 0; ; failures += 1) {
        const attempt = await tryOnce(http, nextUrl(), key, body);
        if (attempt.kind === "definite") return attempt.outcome;
        if (attempt.kind === "lost") options.onUnknown();
        if (performance.now() > deadline) return { kind: "unresolved", reason: attempt.reason };
        await setTimeout(backoffMs(failures));
      }
    },
    close: () => {
      agent.destroy();
    },
  };
}

/** Full jitter: clients that failed together do not come back together. */
function backoffMs(failures: number): number {
  const ceiling = Math.min(HIGHEST_BACKOFF_MS, LOWEST_BACKOFF_MS * 2 ** Math.min(failures, 10));
  return Math.random() * ceiling;
}

async function tryOnce(
  http: AxiosInstance,
  url: string,
  key: string,
  body: object,
): Promise<Attempt> {
  try {
    const response = await http.post<unknown>(`${url}/v1/transactions`, body, {
      headers: { "Idempotency-Key": key },
    });
    return readAnswer(response.status, response.data);
  } catch (error) {
    if (!axios.isAxiosError(error)) throw error;
    const reason = `${error.code ?? "error"} at ${url}: ${error.message}`;
    return { kind: error.code === "ECONNREFUSED" ? "notStarted" : "lost", reason };
  }
}

function readAnswer(status: number, body: unknown): Attempt {
  if (status === 200) {
    Committed.parse(body);
    return { kind: "definite", outcome: { kind: "committed" } };
  }
  const problem = Problem.safeParse(body);
  if (!problem.success) throw new Error(`status ${status} with ${JSON.stringify(body)}`);
  const { code, detail = "", outcome, retryable } = problem.data;
  switch (outcome) {
    case "committed":
      return { kind: "definite", outcome: { kind: "committed" } };
    case "aborted":
      return { kind: "definite", outcome: { kind: "aborted", code } };
    case "unknown":
      if (retryable) return { kind: "lost", reason: code };
      return { kind: "definite", outcome: { kind: "unresolved", reason: `${code}: ${detail}` } };
    case "not_started":
      if (retryable) return { kind: "notStarted", reason: code };
      throw new Error(`the cluster refuses the request: ${code}: ${detail}`);
  }
}
