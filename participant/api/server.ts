/**
 * The HTTP face of a participant, for people and supervisors; coordinators speak through the channel on the same port.
 *
 *   GET /livez             the process is alive
 *   GET /readyz            the database answers and is this shard's, and the participant is not shutting down
 *   GET /metrics           what it has counted, for Prometheus
 *   GET /v1/participant    for nodes of the cluster: who it is, and the branches it holds, incidents included
 *
 * Metrics are open, as tokens are the coordinators' business and a scraper can prove no secret: they are sums, without ids, SQL or
 * names of clients. The port is for nodes and those who watch over them; clients need not reach it.
 */
import type { RequestListener } from "node:http";
import express, { type NextFunction, type Request, type Response } from "express";
import { answer, answerJson } from "../../shared/runtime/http.ts";
import { isAskedByNode, type Proofs } from "../../shared/runtime/node-proof.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { ParticipantNode } from "../participant-node.ts";

export interface ParticipantApi {
  readonly node: ParticipantNode;
  /** Why the participant is not ready; undefined when it is. */
  readonly unready: () => Promise<string | undefined>;
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  readonly proofs: Proofs;
}

const OK = 200;
const UNAUTHORIZED = 401;
const NOT_FOUND = 404;
const INTERNAL_ERROR = 500;
const UNAVAILABLE = 503;

export function createParticipantApi({
  node,
  unready,
  metrics,
  proofs,
}: ParticipantApi): RequestListener {
  const app = express();
  app.disable("x-powered-by");
  app.set("etag", false);
  app.get("/livez", (_, response) => {
    answerJson(response, OK, { alive: true });
  });
  app.get("/readyz", async (_, response) => {
    const reason = await unready();
    const isReady = reason === undefined;
    answerJson(response, isReady ? OK : UNAVAILABLE, { ready: isReady, reason: reason ?? null });
  });
  app.get("/metrics", async (_, response) => {
    answer(response, OK, metrics.contentType, await metrics.text());
  });
  app.get("/v1/participant", (request, response) => {
    if (!isAskedByNode(request, proofs)) {
      answerJson(response, UNAUTHORIZED, { detail: "this path is for the nodes of the cluster" });
      return;
    }
    answerJson(response, OK, { ...node.hello(), ...node.view() });
  });
  app.use((_, response) => {
    answerJson(response, NOT_FOUND, { detail: "there is nothing here" });
  });
  app.use((_error: unknown, _: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) next(_error);
    else answerJson(response, INTERNAL_ERROR, { detail: "something is broken on our side" });
  });
  return app as RequestListener;
}
