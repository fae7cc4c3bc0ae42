/** The bounds of a listener that take too long, or too many connections, to be waited for at their real size. */
import {
  answer,
  BodyTooLarge,
  HTTP_LIMITS,
  listenHttp,
  readBody,
  type HttpLimits,
  type HttpListener,
} from "../../shared/runtime/http.ts";
import { openRaw } from "../support/raw-http.ts";
import { eventually } from "../support/wait.ts";

const HEAD = "POST / HTTP/1.1\r\nHost: x\r\n";
const SHORT = { ...HTTP_LIMITS, headersTimeoutMs: 100, requestTimeoutMs: 300, checkIntervalMs: 20 };
let listener: HttpListener;
let url: string;

const listen = (limits: HttpLimits): Promise<HttpListener> =>
  listenHttp(
    (request, response) => {
      readBody(request, 10).then(
        () => {
          answer(response, 200, "text/plain", "whole");
        },
        (error: unknown) => {
          if (!(error instanceof BodyTooLarge)) return;
          answer(response, 413, "text/plain", "too large", { Connection: "close" });
        },
      );
    },
    { host: "127.0.0.1", port: 0 },
    { limits },
  );

beforeAll(async () => {
  listener = await listen(SHORT);
  url = `http://127.0.0.1:${listener.port}`;
});

afterAll(() => listener.close(0));

test("a body that never ends is 408", async () => {
  const { ended } = await openRaw(url, `${HEAD}Content-Length: 5\r\n\r\n12`);
  expect(await ended).toMatch(/^HTTP\/1\.1 408 /);
});

test("headers that never end are 408", async () => {
  const { ended } = await openRaw(url, HEAD);
  expect(await ended).toMatch(/^HTTP\/1\.1 408 /);
});

test("connections beyond the bound are closed unanswered, until one of the others ends", async () => {
  const small = await listen({ ...HTTP_LIMITS, maxConnections: 2 });
  const at = `http://127.0.0.1:${small.port}`;
  const asked = `${HEAD}Connection: close\r\nContent-Length: 2\r\n\r\n12`;
  const first = await openRaw(at, "");
  const second = await openRaw(at, "");
  expect(await (await openRaw(at, asked)).ended).toBe("");
  second.socket.destroy();
  const isServed = async (): Promise<boolean> => {
    return /whole$/.test(await (await openRaw(at, asked)).ended);
  };
  await eventually("the place is free", isServed);
  first.socket.destroy();
  await small.close(0);
});

test("a refusal reaches a client that goes on sending for a while", async () => {
  const { socket, answered, ended } = await openRaw(url, `${HEAD}Content-Length: 500000\r\n\r\n`);
  await answered(/too large$/);
  socket.write(" ".repeat(500_000));
  expect(await ended).toMatch(/^HTTP\/1\.1 413 [^]*too large$/);
});

test("and is not waited for when that is more than is worth reading", async () => {
  const { socket, answered, ended } = await openRaw(url, `${HEAD}Content-Length: 90000000\r\n\r\n`);
  await answered(/too large$/);
  const chunk = " ".repeat(100_000);
  const startedAtMs = performance.now();
  const send = (): void => {
    if (!socket.destroyed) socket.write(chunk, () => setImmediate(send));
  };
  send();
  expect(await ended).toMatch(/^HTTP\/1\.1 413 /);
  expect(performance.now() - startedAtMs).toBeLessThan(900);
});
