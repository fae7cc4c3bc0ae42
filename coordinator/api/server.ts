/**
 * The HTTP face of a coordinator node.
 *
 *   POST /v1/transactions            run a transaction
 *   GET  /v1/transactions            what is not finished
 *   GET  /v1/transactions/{id}       what became of it
 *   POST /v1/reads                   read several shards, every transaction in all results or in none
 *   POST /v1/transactions/begin      begin an interactive transaction
 *   POST /v1/transactions/{id}/statements   run a statement of it, or set, go back to or release a savepoint
 *   POST /v1/transactions/{id}/commit       commit it
 *   DELETE /v1/transactions/{id}     roll it back
 *   GET  /v1/cluster                 the group and the shards as this node sees them
 *   GET  /livez                      the process is alive
 *   GET  /readyz                     a leader is known and this node is not shutting down
 *   GET  /metrics                    what this node has counted, for Prometheus
 *   GET  /openapi.json, /docs        this table, for programs and in the browser
 *   POST /internal/v1/outcomes       participants ask about branches in doubt
 *
 * Before any of it stands the gate (access/gate.ts). The hot path does not pass through express: express replaces the prototypes of request and response, which slows
 * down every later touch of them. Measured on 2 cores, 32 connections: 70 µs of CPU a request without it, 173 µs with.
 */
import type { RequestListener, ServerResponse } from "node:http";
import express, { type NextFunction, type Request, type Response } from "express";
import { SynodError } from "../../shared/model/errors.ts";
import { answer, answerJson } from "../../shared/runtime/http.ts";
import { Calls } from "./calls.ts";
import { describeCluster } from "./cluster.ts";
import { answerError, connectionHeaders, leaderHint, type ApiContext } from "./context.ts";
import { Docs } from "./openapi/docs.ts";
import { Interactive } from "./interactive.ts";
import { answerInquiry, OUTCOMES_PATH } from "./outcomes.ts";
import { Transactions } from "./transactions.ts";

const METHODS = ["get", "post", "delete"] as const;
type Method = (typeof METHODS)[number];
const ALLOWED: Readonly<Record<Method, readonly string[]>> = {
  get: ["GET", "HEAD"],
  post: ["POST"],
  delete: ["DELETE"],
};
type Handler = (request: Request, response: Response) => void | Promise<void>;
type AddRoute = (path: string, handlers: Readonly<Partial<Record<Method, Handler>>>) => void;

const SUBMIT_PATH = "/v1/transactions";
const NOTHING_HERE = "there is nothing here: the API begins with /v1, and /docs shows it";
const OK = 200;
const UNAVAILABLE = 503;

/** Needs the SQL parser loaded (loadSqlParser). */
export function createApi(context: ApiContext): RequestListener {
  const app = express();
  app.disable("x-powered-by");
  app.set("etag", false);
  app.set("query parser", false);
  app.set("case sensitive routing", true);
  const calls = new Calls(context);
  const transactions = new Transactions(context, calls);
  const interactive = new Interactive(context, calls);
  const add: AddRoute = (path, handlers) => {
    for (const method of METHODS) {
      const handler = handlers[method];
      if (handler !== undefined) app[method](path, handler);
    }
    const allow = METHODS.flatMap((method) => (method in handlers ? ALLOWED[method] : []));
    app.all(path, (request, response) => {
      const sentence = `${path} answers ${allow.join(", ")} only`;
      const error = new SynodError("method-not-allowed", sentence);
      answerError(context, request, response, error, { Allow: allow.join(", ") });
    });
  };
  add("/v1/reads", { post: (request, response) => transactions.read(request, response) });
  add(SUBMIT_PATH, {
    get: (request, response) => transactions.list(request, response),
    post: (request, response) => transactions.submit(request, response),
  });
  // Before the next one, which would take `begin` for an id.
  addInteractive(add, interactive);
  add(`${SUBMIT_PATH}/:id`, {
    get: (request, response) => transactions.status(request, response, idIn(request)),
    delete: (request, response) => interactive.rollBack(request, response, idIn(request)),
  });
  addViews(context, add);
  addDocs(add);
  add(OUTCOMES_PATH, { post: (request, response) => answerInquiry(context, request, response) });
  app.use((request, response) => {
    answerError(context, request, response, new SynodError("not-found", NOTHING_HERE));
  });
  app.use((error: unknown, request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    answerError(context, request, response, asClientError(error));
  });
  return (request, response) => {
    try {
      context.gate.pass(request);
    } catch (error) {
      answerError(context, request, response, error);
      return;
    }
    if (request.url === SUBMIT_PATH && request.method === "POST") {
      void transactions.submit(request, response);
    } else {
      app(request, response);
    }
  };
}

/** What is only looked at. */
function addViews(context: ApiContext, add: AddRoute): void {
  add("/v1/cluster", {
    get: (_, response) => {
      answerJson(response, OK, describeCluster(context), headers(context));
    },
  });
  add("/livez", {
    get: (_, response) => {
      answerJson(response, OK, { alive: true }, connectionHeaders(context));
    },
  });
  add("/readyz", {
    get: (_, response) => {
      answerReadiness(context, response);
    },
  });
  add("/metrics", {
    get: async (_, response) => {
      const { metrics } = context;
      answer(response, OK, metrics.contentType, await metrics.text(), connectionHeaders(context));
    },
  });
}

function addInteractive(add: AddRoute, interactive: Interactive): void {
  add(`${SUBMIT_PATH}/begin`, {
    post: (request, response) => interactive.begin(request, response),
  });
  add(`${SUBMIT_PATH}/:id/statements`, {
    post: (request, response) => interactive.step(request, response, idIn(request)),
  });
  add(`${SUBMIT_PATH}/:id/commit`, {
    post: (request, response) => interactive.commit(request, response, idIn(request)),
  });
}

function addDocs(add: AddRoute): void {
  const docs = new Docs();
  add("/openapi.json", {
    get: (_, response) => {
      docs.openApi(response);
    },
  });
  add("/docs", {
    get: (_, response) => {
      docs.page(response);
    },
  });
  add("/docs/:asset", {
    get: (request, response) => docs.asset(response, String(request.params["asset"])),
  });
}

function idIn(request: Request): string {
  return String(request.params["id"]);
}

function headers(context: ApiContext): Readonly<Record<string, string>> {
  return {
    ...leaderHint(context, context.gateway.view().leader),
    ...connectionHeaders(context),
  };
}

function answerReadiness(context: ApiContext, response: ServerResponse): void {
  const { serving, leader } = context.gateway.view();
  const isReady = serving && leader !== undefined && !context.isDraining();
  const body = { ready: isReady, serving, leader: leader ?? null, draining: context.isDraining() };
  answerJson(response, isReady ? OK : UNAVAILABLE, body, headers(context));
}

/** Express reports a path that cannot be decoded as an error with a status of its own. */
function asClientError(error: unknown): unknown {
  const status = (error as { status?: unknown } | null)?.status;
  return status === 400 ? new SynodError("not-found", "the path cannot be decoded") : error;
}
