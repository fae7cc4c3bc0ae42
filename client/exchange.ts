/**
 * One request to one coordinator. The question that matters when it fails: may the node have begun? "No" is said only
 * when the connection was never made, or the server at its other end not believed.
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import axios, { AxiosError, type AxiosInstance } from "axios";

/** As much as the server answers at most: 256 KiB a shard, 64 shards. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** The server takes less and says so; this only bounds what is sent for nothing. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/** System calls that fail before the first byte of a request has left. */
const BEFORE_SENDING = new Set(["connect", "getaddrinfo"]);
/** How Node names what is wrong with a server's certificate, which is judged before the first byte of a request, too. */
const CERTIFICATE_REFUSED =
  /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|ERROR_IN_CERT_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_)/;

export interface HttpRequest {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export type Reply =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: Readonly<Record<string, string | undefined>>;
      readonly body: unknown;
    }
  /** The node has certainly not begun. */
  | { readonly kind: "notSent"; readonly cause: unknown }
  /** Nothing is known. */
  | { readonly kind: "lost"; readonly cause: unknown; readonly hasTimedOut: boolean };

export interface ExchangeOptions {
  readonly token?: string;
  readonly authority?: string;
}

export class Exchange {
  readonly #agents: readonly [HttpAgent, HttpsAgent];
  readonly #http: AxiosInstance;

  constructor(maxConnections: number, { token, authority }: ExchangeOptions) {
    const options = { keepAlive: true, maxSockets: maxConnections };
    const [httpAgent, httpsAgent] = [
      new HttpAgent(options),
      new HttpsAgent({ ...options, ...(authority !== undefined && { ca: authority }) }),
    ];
    this.#agents = [httpAgent, httpsAgent];
    this.#http = axios.create({
      ...{ httpAgent, httpsAgent, maxRedirects: 0, proxy: false, decompress: false },
      ...{ maxContentLength: MAX_ANSWER_BYTES, maxBodyLength: MAX_REQUEST_BYTES },
      ...{ responseType: "text", transformRequest: [], transformResponse: [] },
      headers: {
        Accept: "application/json, application/problem+json",
        "Accept-Encoding": "identity",
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      },
      validateStatus: () => true,
    });
  }

  async send(
    url: string,
    { method, path, headers = {}, body }: HttpRequest,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Reply> {
    try {
      const response = await this.#http.request<string>({
        ...{ method, url: url + path, timeout: Math.max(1, Math.ceil(timeoutMs)) },
        headers: { ...headers, ...(body !== undefined && { "Content-Type": "application/json" }) },
        ...(body !== undefined && { data: body }),
        ...(signal !== undefined && { signal }),
      });
      return {
        kind: "answered",
        status: response.status,
        headers: response.headers as Record<string, string | undefined>,
        body: parsed(response.data),
      };
    } catch (error) {
      if (!axios.isAxiosError(error)) throw error;
      const cause = bare(error);
      if (isBeforeSending(error)) return { kind: "notSent", cause };
      return { kind: "lost", cause, hasTimedOut: error.code === AxiosError.ECONNABORTED };
    }
  }

  close(): void {
    for (const agent of this.#agents) agent.destroy();
  }
}

/** Undefined for what is no JSON: an answer of somebody else, a proxy for example. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isBeforeSending({ cause }: AxiosError): boolean {
  const failures = cause instanceof AggregateError ? (cause.errors as unknown[]) : [cause];
  return failures.every((failure) => {
    const { syscall = "", code = "" } = (failure ?? {}) as NodeJS.ErrnoException;
    return BEFORE_SENDING.has(syscall) || CERTIFICATE_REFUSED.test(code);
  });
}

/** What is thrown is printed and logged: it must not carry the request, and with it the token and the parameters. */
function bare({ cause, code, message }: AxiosError): Error {
  return cause ?? Object.assign(new Error(message), { code });
}
