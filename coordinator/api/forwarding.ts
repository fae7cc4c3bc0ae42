/**
 * Carries a client's request to another coordinator node and its answer back, bytes as they are.
 *
 * The one question that matters when a connection fails: may the other node have begun? "No" is said only when
 * the connection was never made, or when the other node itself said that it refused to begin.
 */
import { Agent } from "node:http";
import axios, { isAxiosError, type AxiosInstance } from "axios";
import type { AnswerHeaders } from "../../shared/runtime/http.ts";

/** How many nodes a request has passed; a node answers a forwarded request itself or refuses it. */
export const HOPS_HEADER = "synod-forwarded";
/** What is left of the client's time. */
export const TIMEOUT_HEADER = "synod-timeout-ms";
/** On answers: this node has not begun, and another one may be asked. */
export const REFUSED_HEADER = "synod-refused";

export interface ForwardedRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: AnswerHeaders;
  readonly body?: Buffer;
}

export interface Reply {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly body: Buffer;
}

export type Attempt =
  | { readonly kind: "answered"; readonly reply: Reply }
  /** The other node has certainly not begun. */
  | { readonly kind: "notBegun" }
  /** Nothing is known. */
  | { readonly kind: "lost" };

export type Forward = (
  url: string,
  request: ForwardedRequest,
  timeoutMs: number,
) => Promise<Attempt>;

const MAX_REPLY_BYTES = 16 * 1024 * 1024;
/** The other node keeps the deadline; this much later its silence is a lost connection. */
const REPLY_GRACE_MS = 1_000;
const RELAYED_HEADERS = [
  "content-type",
  "retry-after",
  "location",
  "idempotent-replayed",
  "synod-leader",
];
/** System calls that fail before the first byte of a request has left. */
const BEFORE_SENDING = new Set(["connect", "getaddrinfo"]);

export interface Forwarder {
  readonly forward: Forward;
  close(): void;
}

export function createForwarder(maxSockets: number): Forwarder {
  const agent = new Agent({ keepAlive: true, maxSockets, scheduling: "lifo" });
  const http = axios.create({
    httpAgent: agent,
    maxRedirects: 0,
    proxy: false,
    decompress: false,
    responseType: "arraybuffer",
    maxContentLength: MAX_REPLY_BYTES,
    validateStatus: () => true,
    transformRequest: (data: unknown) => data,
    transformResponse: (data: unknown) => data,
  });
  return {
    forward: (url, request, timeoutMs) => attempt(http, url, request, Math.ceil(timeoutMs)),
    close: () => {
      agent.destroy();
    },
  };
}

async function attempt(
  http: AxiosInstance,
  url: string,
  { method, path, headers, body }: ForwardedRequest,
  timeoutMs: number,
): Promise<Attempt> {
  try {
    const response = await http.request<Buffer>({
      method,
      url: url + path,
      headers: { ...headers, [HOPS_HEADER]: "1", [TIMEOUT_HEADER]: String(timeoutMs) },
      data: body,
      timeout: timeoutMs + REPLY_GRACE_MS,
      ...(body !== undefined && { maxBodyLength: body.length }),
    });
    const received = response.headers as Readonly<Record<string, string | undefined>>;
    if (received[REFUSED_HEADER] !== undefined) return { kind: "notBegun" };
    const relayed = RELAYED_HEADERS.flatMap((name) => {
      const value = received[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    const { status, data } = response;
    return {
      kind: "answered",
      reply: { status, headers: Object.fromEntries(relayed), body: data },
    };
  } catch (error) {
    if (!isAxiosError(error)) throw error;
    const { syscall } = (error.cause ?? {}) as NodeJS.ErrnoException;
    return { kind: syscall !== undefined && BEFORE_SENDING.has(syscall) ? "notBegun" : "lost" };
  }
}
