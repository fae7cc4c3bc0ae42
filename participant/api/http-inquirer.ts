/**
 * OutcomeInquirer over HTTP: POST {coordinator}/internal/v1/outcomes, to one coordinator after the other.
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import axios, { type AxiosInstance } from "axios";
import {
  type BranchOutcome,
  OutcomeAnswer,
  type OutcomeInquiry,
} from "../../shared/model/inquiry.ts";
import { CLUSTER_HEADER, type ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import type { NodeTls } from "../../shared/runtime/node-certificate.ts";
import type { OutcomeInquirer } from "../branches/outcome-inquirer.ts";

const OUTCOMES_PATH = "/internal/v1/outcomes";
/** Longer than a follower takes to ask its leader. */
const TIMEOUT_MS = 3_000;
const MAX_BODY_BYTES = 256 * 1024;
const OK = 200;

export interface HttpInquirer extends OutcomeInquirer {
  /** Closes the connections that are kept alive. */
  close(): void;
}

/** `urls`: origins, at least one. `first`: which is asked first, so that participants do not all ask the same. */
export function createHttpInquirer(
  urls: readonly string[],
  first: number,
  secret?: Pick<ClusterSecret, "httpToken">,
  tls?: NodeTls,
): HttpInquirer {
  const agents = {
    httpAgent: new HttpAgent({ keepAlive: true, maxSockets: 1 }),
    httpsAgent: new HttpsAgent({
      ...{ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 },
      ...tls?.dial("coordinator"),
    }),
  };
  const client = axios.create({
    ...agents,
    headers: secret === undefined ? {} : { [CLUSTER_HEADER]: secret.httpToken },
    timeout: TIMEOUT_MS,
    maxRedirects: 0,
    proxy: false,
    maxContentLength: MAX_BODY_BYTES,
    maxBodyLength: MAX_BODY_BYTES,
    responseType: "json",
    validateStatus: (status) => status === OK,
  });
  let turn = first;
  return {
    coordinators: urls.length,
    ask: (inquiry) => {
      const url = urls[turn % urls.length] ?? "";
      turn += 1;
      return ask(client, url, inquiry);
    },
    close: () => {
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}

async function ask(
  client: AxiosInstance,
  url: string,
  inquiry: OutcomeInquiry,
): Promise<readonly BranchOutcome[]> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { data } = await client.post<unknown>(`${url}${OUTCOMES_PATH}`, inquiry, { signal });
  const { outcomes } = OutcomeAnswer.parse(data);
  if (outcomes.length === inquiry.branches.length) return outcomes;
  throw new Error(`${url} answered ${outcomes.length} of ${inquiry.branches.length} branches`);
}
