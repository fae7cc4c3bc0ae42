/**
 * The few things that every HTTP listener of ours needs: bounded bodies, answers serialised once, timeouts against
 * slow clients, and an orderly end.
 *
 * Bodies are read by hand: express' parser costs more than the whole rest of a request.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TlsOptions } from "node:tls";
import type { Address } from "./config-reading.ts";

/** What a listener grants to clients that are slow, talkative or many. */
export interface HttpLimits {
  /** From the first byte of a request to the end of its headers, and to the end of its body: later is 408, and the end. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How often the two are looked at. */
  readonly checkIntervalMs: number;
  readonly keepAliveTimeoutMs: number;
  /** More are closed as soon as they are accepted. Above what all other nodes may forward at once, clients beside them. */
  readonly maxConnections: number;
}

export const HTTP_LIMITS: HttpLimits = {
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 30_000,
  checkIntervalMs: 1_000,
  // Longer than the idle time of common clients' connection pools, so that the client closes first.
  keepAliveTimeoutMs: 65_000,
  maxConnections: 8_192,
};
/** More are 431. They are counted here: `maxHeadersCount` would drop the rest unread, an idempotency key perhaps. */
const MAX_HEADERS = 64;
/** Of the request line and all headers; more are 431. */
const MAX_HEADER_BYTES = 16 * 1024;
/** After a refusal that came before the body: how much more of it is read and dropped, so that the client reads the refusal. */
const MAX_DISCARDED_BYTES = 1024 * 1024;
const DISCARDING_MS = 3_000;
const TOO_MANY_HEADERS = 431;

export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** The client went away before its body was complete: nobody is left to answer. */
export class BodyAborted extends Error {
  override readonly name = "BodyAborted";
}

/** Rejects with BodyTooLarge, as soon as that is certain, or BodyAborted. */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > maxBytes) return Promise.reject(new BodyTooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else reject(new BodyTooLarge());
    });
    request.on("end", () => {
      const [only] = chunks;
      resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
    });
    const gone = (): void => {
      if (!request.readableEnded) reject(new BodyAborted());
    };
    request.on("error", gone);
    request.on("close", gone);
  });
}

export type AnswerHeaders = Readonly<Record<string, string>>;

/**
 * Sends the whole answer in one write. Does nothing when the client has gone. An answer that closes the connection before the
 * body has come is sent at once, and the connection closed a little later: closed on unread bytes, it would take the answer with it.
 */
export function answer(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string | Buffer,
  headers: AnswerHeaders = {},
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    ...headers,
    "Content-Type": contentType,
    "Content-Length": Buffer.byteLength(body),
  });
  if (headers["Connection"] === "close" && !response.req.complete) {
    response.write(body);
    endAfterBody(response);
  } else {
    response.end(body);
  }
}

function endAfterBody(response: ServerResponse): void {
  const { req: request } = response;
  let discarded = 0;
  const end = (): void => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, DISCARDING_MS);
  request.on("data", (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > MAX_DISCARDED_BYTES) end();
  });
  request.once("end", end).once("close", end);
  request.resume();
}

export function answerJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers?: AnswerHeaders,
): void {
  answer(response, status, "application/json", JSON.stringify(body), headers);
}

export interface HttpListener {
  readonly port: number;
  /** For what shares the port, such as channels. */
  readonly server: Server;
  /** Stops listening, closes idle connections, waits for the busy ones and after `graceMs` cuts them off. */
  close(graceMs: number): Promise<void>;
}

export interface ListenOptions {
  readonly limits?: HttpLimits;
  /** Undefined: plain HTTP. */
  readonly tls?: TlsOptions | undefined;
}

/** Port 0 takes a free one. Rejects when the address cannot be had. */
export async function listenHttp(
  handle: RequestListener,
  at: Address,
  { limits = HTTP_LIMITS, tls }: ListenOptions = {},
): Promise<HttpListener> {
  const options = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.checkIntervalMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
  };
  const handshake = { handshakeTimeout: limits.headersTimeoutMs };
  const server =
    tls === undefined
      ? createServer(options, withinHeaders(handle))
      : createSecureServer({ ...options, ...handshake, ...tls }, withinHeaders(handle));
  server.maxHeadersCount = 0;
  server.maxConnections = limits.maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(at.port, at.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  return { port, server, close: (graceMs) => closeServer(server, graceMs) };
}

function withinHeaders(handle: RequestListener): RequestListener {
  return (request, response) => {
    if (request.rawHeaders.length <= 2 * MAX_HEADERS) {
      handle(request, response);
      return;
    }
    answer(response, TOO_MANY_HEADERS, "text/plain", `more than ${MAX_HEADERS} headers\n`, {
      Connection: "close",
    });
  };
}

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.closeAllConnections();
    }, graceMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
