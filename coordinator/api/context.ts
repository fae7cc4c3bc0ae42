/** What the handlers of this folder share, and the two ways in which each of them ends. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { InvariantViolation } from "../../shared/model/assert.ts";
import { SynodError, type ErrorCode } from "../../shared/model/errors.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import {
  answer,
  BodyAborted,
  BodyTooLarge,
  type AnswerHeaders,
} from "../../shared/runtime/http.ts";
import { LIMITS } from "../../shared/model/api.ts";
import type { TransactionGateway } from "../transactions/gateway.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import type { Gate, Principal } from "./access/gate.ts";
import type { Statements } from "./access/statements.ts";
import { REFUSED_HEADER, type Forward } from "./forwarding.ts";
import { CallerGone, NotLeading } from "./leader-route.ts";
import type { Terms } from "./operation-checks.ts";
import { problemOf, PROBLEM_TYPE } from "./problem.ts";

export interface ApiContext {
  readonly self: NodeId;
  /** Where each node of the group is reached, this one included. */
  readonly coordinators: ReadonlyMap<NodeId, string>;
  readonly gateway: TransactionGateway;
  readonly links: Pick<ParticipantLinks, "shards" | "connected">;
  readonly forward: Forward;
  readonly gate: Gate;
  readonly statements: Statements;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a request waits while nobody leads. */
  readonly leaderWaitMs: number;
  /** Requests at once; more are refused. */
  readonly maxInFlight: number;
  /** The node is shutting down: nothing new begins. */
  readonly isDraining: () => boolean;
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  /** Hears the code of every error that is answered. */
  readonly onError: (code: ErrorCode) => void;
  /** The node can no longer be trusted; called at most with programmer errors. */
  readonly onFatal: (error: unknown) => void;
}

export function termsFor({ links, statements }: ApiContext, caller: Principal): Terms {
  return { shards: links.shards, statements, caller };
}

/** `Synod-Leader: 2; url="http://…"`, for clients that want to ask the leader at once. */
export function leaderHint(
  { coordinators }: ApiContext,
  leader: NodeId | undefined,
): AnswerHeaders {
  const url = leader === undefined ? undefined : coordinators.get(leader);
  return leader === undefined || url === undefined
    ? {}
    : { "Synod-Leader": `${leader}; url="${url}"` };
}

/** While draining, connections end with their answer: a kept one would outlive the node's readiness. */
export function connectionHeaders(context: ApiContext): AnswerHeaders {
  return context.isDraining() ? { Connection: "close" } : {};
}

export function answerError(
  context: ApiContext,
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
  headers: AnswerHeaders = {},
): void {
  if (thrown instanceof BodyAborted || thrown instanceof CallerGone) return;
  const error = asSynodError(context, thrown);
  context.onError(error.code);
  const instance = (request.url ?? "/").split("?", 1)[0] ?? "/";
  const problem = problemOf(error, instance);
  const isRefusal = error instanceof NotLeading || error.code === "draining";
  answer(response, problem.status, PROBLEM_TYPE, JSON.stringify(problem.body), {
    ...leaderHint(context, context.gateway.view().leader),
    ...connectionHeaders(context),
    ...problem.headers,
    ...(isRefusal && { [REFUSED_HEADER]: error.code }),
    ...(error.code === "body-too-large" && { Connection: "close" }),
    ...headers,
  });
}

function asSynodError({ logger, onFatal }: ApiContext, thrown: unknown): SynodError {
  if (thrown instanceof SynodError) return thrown;
  if (thrown instanceof BodyTooLarge) {
    return new SynodError("body-too-large", `the body is larger than ${LIMITS.maxBodyBytes} bytes`);
  }
  if (thrown instanceof InvariantViolation) onFatal(thrown);
  else logger.error({ error: thrown }, "a request failed on our side");
  return new SynodError("internal-error", "something is broken on our side; the log says what");
}
