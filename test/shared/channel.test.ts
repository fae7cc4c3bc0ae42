import { eventually } from "../support/wait.ts";
import {
  closeChannels,
  dial,
  dialRaw,
  introduction,
  serve,
  serveRaw,
} from "../support/channels.ts";
import {
  ChannelClosed,
  ChannelDown,
  ChannelRemoteError,
  ChannelTimeout,
} from "../../shared/runtime/channel-errors.ts";
import { pack, readFrame } from "../../shared/runtime/channel-frame.ts";
import { CHANNEL_LIMITS, type Channel } from "../../shared/runtime/channel.ts";

afterEach(closeChannels);

/** The client's end and the server's end of one channel. */
async function pair(onChannel: (channel: Channel) => void): Promise<readonly [Channel, Channel]> {
  const { port, accepted } = await serve(onChannel);
  const { channel, events } = dial(port);
  await eventually("the channel is up", () => events.includes("up") && accepted.length === 1);
  return [channel(), accepted[0]!];
}

const echo = (channel: Channel): void => {
  channel.onRequest((body) => Promise.resolve(body));
};
const noop = (): void => undefined;
const MANY_REFUSALS = 10;
const never = (): Promise<never> => new Promise(noop);

test("a request gets its own reply, however the replies are ordered", async () => {
  const open: ((value: number) => void)[] = [];
  const [client] = await pair((channel) => {
    channel.onRequest(() => new Promise((resolve) => open.push(resolve)));
  });
  const replies = Promise.all([0, 1, 2, 3].map((body) => client.request(body, 5_000)));
  await eventually("all four arrived", () => open.length === 4);
  for (const index of [2, 0, 3, 1]) open[index]!(index * 10);
  expect(await replies).toEqual([0, 10, 20, 30]);
});

test("both ends may ask and both may answer", async () => {
  const [client, server] = await pair((channel) => {
    channel.onRequest((body) => Promise.resolve(`server: ${String(body)}`));
  });
  client.onRequest((body) => Promise.resolve(`client: ${String(body)}`));
  expect(await client.request("a", 5_000)).toBe("server: a");
  expect(await server.request("b", 5_000)).toBe("client: b");
});

test("messages arrive once, in order, as what they were when they were sent", async () => {
  const received: unknown[] = [];
  const [client] = await pair((channel) => {
    channel.onMessage((body) => received.push(body));
  });
  const body = { count: 0 };
  for (let count = 0; count < 500; count += 1) {
    body.count = count;
    expect(client.send(body)).toBe(true);
  }
  await eventually("all arrived", () => received.length === 500);
  expect(received).toEqual(Array.from({ length: 500 }, (_, count) => ({ count })));
});

test("what is said within one tick leaves as one frame", async () => {
  const raw = await serveRaw();
  const { channel, events } = dial(raw.port);
  await eventually("up", () => events.includes("up"));
  for (let index = 0; index < 50; index += 1) channel().send(index);
  void channel().request("question", 5_000).catch(noop);
  await Promise.resolve();
  channel().send("after a microtask");
  await eventually("a frame arrived", () => raw.frames.length > 0);
  expect(raw.frames).toHaveLength(1);
  expect(readFrame(raw.frames[0]!)).toHaveLength(52);
});

test("what is gathered leaves at once with a flush, and else with what is said besides", async () => {
  const raw = await serveRaw();
  const { channel, events } = dial(raw.port);
  await eventually("up", () => events.includes("up"));
  expect(channel().gather("one")).toBe(true);
  await new Promise(setImmediate);
  channel().gather("two");
  channel().flush();
  channel().gather("three");
  channel().flush();
  channel().gather("four");
  channel().send("five");
  await eventually("three frames arrived", () => raw.frames.length >= 3);
  const bodies = raw.frames.map((frame) =>
    readFrame(frame)?.map((part) => ("body" in part ? part.body : part.kind)),
  );
  expect(bodies).toEqual([["one", "two"], ["three"], ["four", "five"]]);
});

test("a handler that rejects, or throws, is answered with its sentence", async () => {
  const [client] = await pair((channel) => {
    channel.onRequest((body) => {
      if (body === "throw") throw new Error("thrown here");
      return Promise.reject(new Error("rejected here"));
    });
  });
  await expect(client.request("reject", 5_000)).rejects.toThrow(ChannelRemoteError);
  await expect(client.request("reject", 5_000)).rejects.toThrow("rejected here");
  await expect(client.request("throw", 5_000)).rejects.toThrow("thrown here");
});

test("a reply that cannot be packed fails that request alone", async () => {
  const [client] = await pair((channel) => {
    channel.onRequest((body) => Promise.resolve(body === "huge" ? 2n ** 70n : body));
  });
  await expect(client.request("huge", 5_000)).rejects.toThrow(ChannelRemoteError);
  expect(await client.request("small", 5_000)).toBe("small");
});

test("a reply after the deadline is dropped, and the channel goes on", async () => {
  const late: ((value: string) => void)[] = [];
  const [client] = await pair((channel) => {
    channel.onRequest((body) =>
      body === "late" ? new Promise((resolve) => late.push(resolve)) : Promise.resolve(body),
    );
  });
  await expect(client.request("late", 50)).rejects.toThrow(ChannelTimeout);
  late[0]!("too late");
  expect(await client.request("next", 5_000)).toBe("next");
});

test("requests that were sent are lost with the connection; one that was not is known not to be", async () => {
  const [client, server] = await pair((channel) => {
    channel.onRequest(never);
  });
  const sent = client.request("sent", 60_000).catch((error: unknown) => error);
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  const closed = new Promise((resolve) => {
    client.onClose(resolve);
  });
  server.close("the server is done");
  expect(await closed).toBe("the server is done");
  expect(await sent).toBeInstanceOf(ChannelClosed);
  await expect(client.request("after", 1_000)).rejects.toThrow(ChannelDown);
  expect(client.send("after")).toBe(false);
});

test("a request that is still queued when the connection breaks was certainly not sent", async () => {
  const raw = await serveRaw();
  const { channel, events } = dial(raw.port);
  await eventually("up", () => events.includes("up"));
  const client = channel();
  const queued = new Promise((resolve) => {
    client.onMessage(() => {
      client.request("queued", 60_000).catch(resolve);
    });
  });
  // One segment: a message that makes the client ask, and right behind it a frame that no WebSocket may send.
  const message = pack([[0, "ask"]]);
  const reserved = Buffer.from([0xf2, 0]);
  raw.streams[0]!.write(Buffer.concat([Buffer.from([0x82, message.length]), message, reserved]));
  expect(await queued).toBeInstanceOf(ChannelDown);
  expect(raw.frames).toHaveLength(0);
});

test("closing flushes what was said before", async () => {
  const received: unknown[] = [];
  const [client] = await pair((channel) => {
    channel.onMessage((body) => received.push(body));
  });
  client.send("last words");
  client.close();
  await eventually("they arrived", () => received.length === 1);
});

test("after its close a channel receives nothing more", async () => {
  const received: unknown[] = [];
  const [client] = await pair((channel) => {
    channel.onMessage((body) => {
      received.push(body);
      channel.close();
    });
  });
  client.send("first");
  client.send("second");
  await new Promise<void>((resolve) => {
    client.onClose(() => {
      resolve();
    });
  });
  expect(received).toEqual(["first"]);
});

test.each([
  ["bytes that are no frame", Buffer.from([0xc1]), true],
  ["an unknown kind", pack([[7, 1]]), true],
  ["a text frame", Buffer.from("hello"), false],
  ["a message where none is taken", pack([[0, "message"]]), true],
])("%s closes the channel", async (_, bytes, binary) => {
  const { port, accepted } = await serve(echo);
  const raw = await dialRaw(port);
  raw.send(introduction({ name: "raw" }));
  await eventually("accepted", () => accepted.length === 1);
  const closed = new Promise((resolve) => raw.once("close", resolve));
  raw.send(bytes, { binary });
  expect(await closed).toBe(1000);
});

test("a reply that nobody asked for is ignored", async () => {
  const raw = await serveRaw();
  const { channel, events } = dial(raw.port);
  await eventually("up", () => events.includes("up"));
  const received: unknown[] = [];
  channel().onMessage((body) => received.push(body));
  raw.sockets[0]!.send(
    pack([
      [2, 77, "unasked"],
      [3, 78, "unasked"],
      [0, "still here"],
    ]),
  );
  await eventually("the message behind it arrived", () => received.length === 1);
});

test("what is larger than a message may be is dropped, refused, or answered as a failure", async () => {
  const large = Buffer.alloc(CHANNEL_LIMITS.maxMessageBytes + 1);
  const [client] = await pair((channel) => {
    channel.onRequest(() => Promise.resolve(large));
  });
  expect(client.send(large)).toBe(false);
  await expect(client.request(large, 5_000)).rejects.toThrow(ChannelDown);
  await expect(client.request("give me much", 5_000)).rejects.toThrow("the reply is too large");
});

test("towards a side that does not read, the buffer is bounded", async () => {
  const raw = await serveRaw();
  const { channel, events } = dial(raw.port);
  await eventually("up", () => events.includes("up"));
  raw.sockets[0]!.pause();
  // It is heard, so that it does not count as gone, however long filling the buffer takes.
  const heard = setInterval(() => {
    raw.sockets[0]!.ping();
  }, CHANNEL_LIMITS.pingIntervalMs / 2);
  const piece = Buffer.alloc(1024 * 1024);
  const limit = CHANNEL_LIMITS.maxBufferedBytes / piece.length;
  let taken = 0;
  let refusals = 0;
  // The system's own buffers take some megabytes more, by and by; twice the limit is never taken.
  await eventually("it stays full", async () => {
    while (taken < 2 * limit && channel().send(piece)) {
      taken += 1;
      refusals = 0;
      if (taken % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    refusals += 1;
    return refusals > MANY_REFUSALS || taken >= 2 * limit;
  });
  expect(taken).toBeGreaterThanOrEqual(limit - 1);
  expect(taken).toBeLessThan(2 * limit);
  await expect(channel().request(piece, 5_000)).rejects.toThrow(ChannelDown);
  clearInterval(heard);
});

test("no more than the allowed number of requests wait at once", async () => {
  const [client] = await pair((channel) => {
    channel.onRequest(never);
  });
  const waiting = Array.from({ length: CHANNEL_LIMITS.maxOutstandingRequests }, (_, body) =>
    client.request(body, 60_000).catch(noop),
  );
  await expect(client.request("one more", 60_000)).rejects.toThrow(ChannelDown);
  client.close();
  await Promise.all(waiting);
});
