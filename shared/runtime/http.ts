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
import type { AddressInfo } from "node:net";
import type { Address } from "./config-reading.ts";

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the idle time of common clients' connection pools, so that the client closes first. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const MAX_HEADERS = 64;
const MAX_HEADER_BYTES = 16 * 1024;
/** How much of an oversized body is read and dropped, so that the client gets to read the refusal. */
const MAX_DISCARDED_BYTES = 1024 * 1024;

export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** The client went away before its body was complete: nobody is left to answer. */
export class BodyAborted extends Error {
  override readonly name = "BodyAborted";
}

/** Rejects with BodyTooLarge or BodyAborted. */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > MAX_DISCARDED_BYTES) return Promise.reject(new BodyTooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else if (length > MAX_DISCARDED_BYTES) reject(new BodyTooLarge());
    });
    request.on("end", () => {
      const [only] = chunks;
      if (length > maxBytes) reject(new BodyTooLarge());
      else resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
    });
    const gone = (): void => {
      if (!request.readableEnded) reject(new BodyAborted());
    };
    request.on("error", gone);
    request.on("close", gone);
  });
}

export type AnswerHeaders = Readonly<Record<string, string>>;

/** Sends the whole answer in one write. Does nothing when the client has gone. */
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
  response.end(body);
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

/** Port 0 takes a free one. Rejects when the address cannot be had. */
export async function listenHttp(handle: RequestListener, at: Address): Promise<HttpListener> {
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, handle);
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
  server.maxHeadersCount = MAX_HEADERS;
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
