import { WebSocket } from "ws";
import { pack } from "../../shared/runtime/channel-frame.ts";
import { CHANNEL_LIMITS } from "../../shared/runtime/channel.ts";
import {
  closeChannels,
  dial,
  dialRaw,
  introduction,
  HOST,
  PATH,
  serve,
  serveRaw,
} from "../support/channels.ts";
import { eventually } from "../support/wait.ts";

afterEach(closeChannels);

const nothing = (): void => undefined;

/** Sleeps with the whole thread, like a process that is stopped: no timer fires, no socket is read. */
function freeze(durationMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}

test("both sides see the other's hello before the channel is up", async () => {
  const hellos: unknown[] = [];
  const { port } = await serve(nothing, {
    acceptHello: () => (hello) => {
      hellos.push(hello);
      return { accept: true, reply: { name: "server" } };
    },
  });
  const replies: unknown[] = [];
  const { events } = dial(port, {
    acceptReply: (reply) => {
      replies.push(reply);
      return true;
    },
  });
  await eventually("up", () => events.includes("up"));
  expect(hellos).toEqual([{ name: "client" }]);
  expect(replies).toEqual([{ name: "server" }]);
});

test("a refused client hears the sentence, keeps trying, and gets in once it is accepted", async () => {
  let open = false;
  const sentence = "this is another cluster: prüfen Sie die Adresse, " + "ä".repeat(100);
  const { port, accepted } = await serve(nothing, {
    acceptHello: () => () => (open ? { accept: true, reply: 1 } : { accept: false, sentence }),
  });
  const { events } = dial(port);
  await eventually("refused", () => events.length > 0);
  expect(events[0]).toMatch(/^refused: this is another cluster: prüfen Sie die Adresse, ä+/);
  expect(accepted).toHaveLength(0);
  open = true;
  await eventually("up", () => events.includes("up"));
});

test("a client that does not accept the reply hangs up, and tries again", async () => {
  const { port, accepted } = await serve(nothing);
  let asked = 0;
  const { events } = dial(port, {
    acceptReply: () => {
      asked += 1;
      return asked > 1;
    },
  });
  await eventually("up", () => events.includes("up"));
  expect(asked).toBe(2);
  expect(accepted).toHaveLength(2);
});

test("a client that starts first connects when the server comes, and again when it comes back", async () => {
  const first = await serve(nothing);
  const { port } = first;
  const { events } = dial(port);
  await eventually("up", () => events.includes("up"));
  first.stop();
  first.server.close();
  await eventually("down", () => events.includes("down"));
  await eventually("an attempt failed", () => events.some((event) => event.startsWith("failed")));
  await serve(nothing, {}, port);
  await eventually("up again", () => events.at(-1) === "up");
  expect(events.filter((event) => event === "up")).toHaveLength(2);
});

test("after a broken connection the first new attempt comes at once", async () => {
  const { port, accepted } = await serve(nothing);
  const { events } = dial(port);
  await eventually("up", () => accepted.length === 1 && events.includes("up"));
  const brokenAt = performance.now();
  accepted[0]!.close();
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (accepted.length > 1) resolve();
      else setImmediate(look);
    };
    look();
  });
  // Nominal: 10 to 30 ms.
  expect(performance.now() - brokenAt).toBeLessThan(300);
});

test("a closed connection is down before close returns, and does not come back", async () => {
  const { port, accepted } = await serve(nothing);
  const { events, close } = dial(port);
  await eventually("up", () => events.includes("up"));
  close();
  expect(events).toEqual(["up", "down"]);
  await eventually("the server noticed", () => !accepted[0]!.send("anyone there?"));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(events).toEqual(["up", "down"]);
  expect(accepted).toHaveLength(1);
});

test("a server that stops closes its channels", async () => {
  const { port, stop } = await serve(nothing);
  const { events } = dial(port);
  await eventually("up", () => events.includes("up"));
  stop();
  await eventually("down", () => events.includes("down"));
});

test("a peer that falls silent is noticed", async () => {
  const raw = await serveRaw({ autoPong: false });
  const { events } = dial(raw.port);
  await eventually("up", () => events.includes("up"));
  const upAt = performance.now();
  await eventually("down", () => events.includes("down"));
  const afterMs = performance.now() - upAt;
  expect(afterMs).toBeGreaterThan(CHANNEL_LIMITS.silenceMs - CHANNEL_LIMITS.pingIntervalMs);
  expect(afterMs).toBeLessThan(CHANNEL_LIMITS.silenceMs + 3 * CHANNEL_LIMITS.pingIntervalMs);
});

test("an idle but living peer is not taken for a silent one", async () => {
  const { port } = await serve(nothing);
  const { events } = dial(port);
  await eventually("up", () => events.includes("up"));
  await new Promise((resolve) => setTimeout(resolve, CHANNEL_LIMITS.silenceMs + 1_000));
  expect(events).toEqual(["up"]);
});

test("a process that slept does not take its own sleep for the others' silence", async () => {
  const { port, accepted } = await serve((channel) => {
    channel.onRequest((body) => Promise.resolve(body));
  });
  const { events, channel } = dial(port);
  await eventually("up", () => events.includes("up"));
  freeze(CHANNEL_LIMITS.silenceMs + 1_000);
  await new Promise((resolve) => setTimeout(resolve, CHANNEL_LIMITS.pingIntervalMs));
  expect(events).toEqual(["up"]);
  expect(accepted).toHaveLength(1);
  expect(await channel().request("awake", 1_000)).toBe("awake");
});

test("a client that never says hello is turned out", async () => {
  const { port, accepted } = await serve(nothing);
  const raw = await dialRaw(port);
  await new Promise((resolve) => raw.once("close", resolve));
  expect(accepted).toHaveLength(0);
});

test.each([
  ["that is no msgpack", pack({ name: "raw" }).subarray(0, 3)],
  ["without a hello in it", pack({ name: "raw" })],
])("a first frame %s is refused before anybody judges it", async (_, frame) => {
  const hellos: unknown[] = [];
  const { port } = await serve(nothing, {
    acceptHello: () => (hello) => {
      hellos.push(hello);
      return { accept: true, reply: hello };
    },
  });
  const raw = await dialRaw(port);
  raw.send(frame);
  expect(await new Promise((resolve) => raw.once("close", resolve))).toBe(4000);
  expect(hellos).toEqual([]);
});

test.each([
  ["a web page", PATH, { origin: "http://example.org" }, 403],
  ["another path", "/elsewhere", {}, 404],
])("%s is refused before it speaks", async (_, path, options, status) => {
  const { port, accepted } = await serve(nothing);
  const socket = new WebSocket(`ws://${HOST}:${port}${path}`, options);
  const answered = await new Promise((resolve) => {
    socket.once("error", (error) => {
      resolve(error.message);
    });
  });
  expect(answered).toBe(`Unexpected server response: ${status}`);
  expect(accepted).toHaveLength(0);
});

test("a frame beyond the limit ends the connection", async () => {
  const { port, accepted } = await serve(nothing);
  const raw = await dialRaw(port);
  raw.send(introduction({ name: "raw" }));
  await eventually("accepted", () => accepted.length === 1);
  raw.send(Buffer.alloc(CHANNEL_LIMITS.maxFrameBytes + 1));
  expect(await new Promise((resolve) => raw.once("close", resolve))).toBe(1009);
});

test("a url that is none is the caller's mistake", () => {
  expect(() => dial(0, { url: "nowhere" })).toThrow();
});
