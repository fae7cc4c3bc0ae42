/** How a local cluster's programs are asked: over TLS and with a token, where the cluster has them. */
import { Agent } from "node:https";
import axios, { type AxiosResponse } from "axios";

const DEFAULT_TIMEOUT_MS = 2_000;

/** Rejects with an AxiosError when there is no answer; any status is one. */
export type Ask = (url: string) => Promise<AxiosResponse<unknown>>;

export interface AskOptions {
  /** The PEM of the cluster's authority. */
  readonly authority?: string | undefined;
  readonly token?: string | undefined;
  /** 2000 by default. */
  readonly timeoutMs?: number;
}

export function createAsk({
  authority,
  token,
  timeoutMs: timeout = DEFAULT_TIMEOUT_MS,
}: AskOptions): Ask {
  // Certificates of participants name no host: nobody but nodes comes to them.
  const checkServerIdentity = (): undefined => undefined;
  const client = axios.create({
    ...{ timeout, proxy: false, maxRedirects: 0, validateStatus: () => true },
    ...(authority !== undefined && {
      httpsAgent: new Agent({ ca: authority, checkServerIdentity }),
    }),
    ...(token !== undefined && { headers: { Authorization: `Bearer ${token}` } }),
  });
  return (url) => client.get<unknown>(url);
}
