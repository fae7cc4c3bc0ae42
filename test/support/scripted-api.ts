/** A coordinator that gives the replies of a script, in order, and remembers what it was asked. */
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { ERRORS, type ErrorCode, type Outcome } from "../../shared/model/errors.ts";

export type Reply =
  | "lose the connection"
  | "never answer"
  | {
      readonly status: number;
      readonly body: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    };

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly key: string | undefined;
  readonly authorization: string | undefined;
  readonly traceparent: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
  /** A clock that never goes back, for the time between two requests. */
  readonly atMs: number;
}

export interface ScriptedApi {
  readonly url: string;
  readonly asked: Asked[];
  /** Added to the end of the script; the last reply repeats. */
  readonly script: Reply[];
  /** Called with each request, before its reply. */
  onAsked: (asked: Asked) => void;
}

const servers: Server[] = [];

export async function startScriptedApi(...script: Reply[]): Promise<ScriptedApi> {
  const asked: Asked[] = [];
  const app = express();
  app.use(express.json({ strict: false, limit: "2mb" }));
  app.use((request, response) => {
    const entry: Asked = {
      ...{ method: request.method, path: request.originalUrl, atMs: performance.now() },
      key: request.get("idempotency-key"),
      authorization: request.get("authorization"),
      traceparent: request.get("traceparent"),
      body: (request.body ?? {}) as Asked["body"],
    };
    asked.push(entry);
    api.onAsked(entry);
    const reply = api.script.length > 1 ? api.script.shift() : api.script[0];
    if (reply === "never answer") return;
    if (reply === "lose the connection" || reply === undefined) request.socket.destroy();
    else if (typeof reply.body === "string") response.status(reply.status).send(reply.body);
    else response.status(reply.status).set(reply.headers).json(reply.body);
  });
  const server = app.listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const api: ScriptedApi = { url, asked, script, onAsked: () => undefined };
  return api;
}

/** For `afterEach`. */
export async function stopScriptedApis(): Promise<void> {
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    }),
  );
}

export function committed(headers: Readonly<Record<string, string>> = {}): Reply {
  const results = [{ rowCount: 1, rows: [{ balance: "12345678901234567890" }] }];
  const body = { id: "1-1-1-abcdefgh", outcome: "committed", results, pendingShards: [] };
  return { status: 200, body, headers };
}

export function problem(
  code: ErrorCode,
  more: {
    readonly outcome?: Outcome;
    readonly transactionId?: string;
    readonly shard?: string;
    readonly retryAfterMs?: number;
  } = {},
): Reply {
  const { status, title, outcome, retryable } = ERRORS[code];
  return {
    status,
    body: {
      ...{ type: `urn:synod:problem:${code}`, title, status, detail: `because of ${code}` },
      ...{ instance: "/v1/transactions", code, outcome, retryable, errors: [] },
      ...more,
    },
  };
}

/** What a call of a client fails with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`it succeeded with ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}
