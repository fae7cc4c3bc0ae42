/**
 * `POST /internal/v1/outcomes`: a participant asks what became of branches that it holds in doubt. Any node may be asked; what only
 * the leader can tell is asked there once, and if that fails the answer stays "undecided": the participant asks again.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { OutcomeAnswer, OutcomeInquiry } from "../../shared/model/inquiry.ts";
import { answerJson } from "../../shared/runtime/http.ts";
import { answerError, connectionHeaders, type ApiContext } from "./context.ts";
import { HOPS_HEADER } from "./forwarding.ts";
import { rawBody, readAs, readJson } from "./request-body.ts";

export const OUTCOMES_PATH = "/internal/v1/outcomes";
const FORWARD_TIMEOUT_MS = 2_000;
const OK = 200;

export async function answerInquiry(
  context: ApiContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const raw = await rawBody(request);
    const inquiry = readAs(OutcomeInquiry, readJson(raw));
    const here = context.gateway.outcomes(inquiry);
    const isFinal = here.outcomes.every(({ kind }) => kind !== "undecided");
    const isForwarded = request.headers[HOPS_HEADER] !== undefined;
    const leaders =
      isFinal || isForwarded ? undefined : await askLeader(context, inquiry, raw.body);
    answerJson(response, OK, leaders ?? here, connectionHeaders(context));
  } catch (error) {
    answerError(context, request, response, error);
  }
}

/** Undefined when there is no other node to ask, or it does not answer. */
async function askLeader(
  { gateway, self, coordinators, forward, logger }: ApiContext,
  inquiry: OutcomeInquiry,
  body: Buffer,
): Promise<OutcomeAnswer | undefined> {
  const { leader } = gateway.view();
  const url = leader === undefined || leader === self ? undefined : coordinators.get(leader);
  if (url === undefined) return undefined;
  const headers = { "Content-Type": "application/json" };
  const request = { method: "POST", path: OUTCOMES_PATH, headers, body } as const;
  const attempt = await forward(url, request, FORWARD_TIMEOUT_MS);
  if (attempt.kind !== "answered" || attempt.reply.status !== OK) return undefined;
  const read = OutcomeAnswer.safeParse(JSON.parse(attempt.reply.body.toString("utf8")));
  if (read.success && read.data.outcomes.length === inquiry.branches.length) return read.data;
  logger.error({ leader }, "the leader's answer to an inquiry is not what the protocol says");
  return undefined;
}
