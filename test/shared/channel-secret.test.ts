/** Channels between those who know the cluster's secret, and everybody else. */
import { WebSocket, WebSocketServer } from "ws";
import { pack } from "../../shared/runtime/channel-frame.ts";
import { ClusterSecret, type Exchange } from "../../shared/runtime/cluster-secret.ts";
import {
  closeChannels,
  closeLater,
  dial,
  dialRaw,
  introduction,
  listen,
  PATH,
  serve,
} from "../support/channels.ts";
import { eventually } from "../support/wait.ts";

afterEach(closeChannels);

const ours = new ClusterSecret("the secret of this very cluster, 1");
const theirs = new ClusterSecret("the secret of some other cluster 2");
const nothing = (): void => undefined;
const STRANGER = "the other side does not prove that it knows the cluster's secret";

test("two ends that know the same secret speak", async () => {
  const { port, accepted } = await serve(nothing, { secret: ours });
  const { events } = dial(port, { secret: ours });
  await eventually("up", () => events.includes("up"));
  expect(accepted).toHaveLength(1);
});

test("a server takes nobody who knows another secret, or none, and never judges what he says", async () => {
  const hellos: unknown[] = [];
  const acceptHello = () => (hello: unknown) => {
    hellos.push(hello);
    return { accept: true, reply: hello } as const;
  };
  const { port, accepted } = await serve(nothing, { secret: ours, acceptHello });
  const without = dial(port);
  await eventually("refused", () => without.events.length > 0);
  expect(without.events[0]).toBe(`refused: ${STRANGER}`);
  const raw = await dialRaw(port);
  raw.send(introduction({ name: "raw" }));
  expect(await new Promise((resolve) => raw.once("close", resolve))).toBe(4000);
  expect(accepted).toEqual([]);
  expect(hellos).toEqual([]);
});

test("a client says nothing to a server that knows another secret, or none", async () => {
  for (const secret of [theirs, undefined]) {
    const { port, accepted } = await serve(nothing, { secret });
    const { events } = dial(port, { secret: ours });
    await eventually("given up", () => events.length > 0);
    expect(events[0]).toBe(`failed: ${STRANGER}`);
    expect(accepted).toEqual([]);
  }
});

test("what was overheard on one connection opens no other", async () => {
  const { port, accepted } = await serve(nothing, { secret: ours });
  const overheard = await overhear(port);
  const raw = await dialRaw(port, { headers: overheard.headers });
  raw.send(overheard.firstFrame);
  expect(await new Promise((resolve) => raw.once("close", resolve))).toBe(4000);
  expect(accepted).toHaveLength(1);
});

interface Overheard {
  readonly headers: Record<string, string>;
  readonly firstFrame: Buffer;
}

/** Stands between a client and the server, lets them greet each other, and remembers what the client said. */
async function overhear(port: number): Promise<Overheard> {
  const between = await listen();
  const middle = new WebSocketServer({ noServer: true });
  closeLater(() => {
    middle.close();
  });
  const heard = new Promise<Overheard>((resolve) => {
    between.server.on("upgrade", (request, stream, head) => {
      const headers = { "synod-nonce": String(request.headers["synod-nonce"]) };
      const onward = new WebSocket(`ws://127.0.0.1:${port}${PATH}`, { headers });
      closeLater(() => {
        onward.terminate();
      });
      onward.once("upgrade", ({ headers: answered }) => {
        middle.once("headers", (lines) => {
          for (const name of ["synod-nonce", "synod-proof"]) {
            lines.push(`${name}: ${String(answered[name])}`);
          }
        });
        middle.handleUpgrade(request, stream, head, (socket) => {
          socket.once("message", (frame) => {
            onward.send(frame as Buffer);
            onward.once("message", () => {
              resolve({ headers, firstFrame: frame as Buffer });
            });
          });
        });
      });
    });
  });
  dial(between.port, { secret: ours });
  return heard;
}

const exchange: Exchange = { path: "/peer", clientNonce: "c", serverNonce: "s" };

test.each([
  ["for another path", "client", { ...exchange, path: "/channel" }, "hello"],
  ["under another nonce", "client", { ...exchange, serverNonce: "t" }, "hello"],
  ["of the other speaker", "server", exchange, "hello"],
  ["of something else", "client", exchange, "hallo"],
] as const)("a proof %s does not count", (_, speaker, other, said) => {
  const proof = ours.prove("client", exchange, pack("hello"));
  expect(ours.verifies(proof, "client", exchange, pack("hello"))).toBe(true);
  expect(ours.verifies(proof, speaker, other, pack(said))).toBe(false);
});

test("the token for HTTP is of one cluster alone, and is not the secret", () => {
  expect(ours.isHttpToken(ours.httpToken)).toBe(true);
  expect(theirs.isHttpToken(ours.httpToken)).toBe(false);
  expect(ours.isHttpToken(undefined)).toBe(false);
  expect(ours.isHttpToken("")).toBe(false);
});

test("a secret that is too short to be one is a mistake", () => {
  expect(() => new ClusterSecret("short")).toThrow(/long enough/);
});
