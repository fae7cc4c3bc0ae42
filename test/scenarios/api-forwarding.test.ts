import { createServer, type Server } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { nodeId, type NodeId } from "../../shared/model/ids.ts";
import {
  get,
  post,
  startApiNode,
  stopApiNodes,
  TRANSFER,
  TWIN_BALLOT,
  TwinGroup,
  type ApiNode,
} from "../support/api-node.ts";
import { wholeId } from "../support/ids.ts";

const KEY = { "idempotency-key": "key-1" };
const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  await stopApiNodes();
  await Promise.all(closing.splice(0).map((close) => close()));
});

interface Trio {
  readonly group: TwinGroup;
  readonly nodes: readonly [ApiNode, ApiNode, ApiNode];
  readonly coordinators: Map<NodeId, string>;
}

async function startTrio(): Promise<Trio> {
  const group = new TwinGroup();
  const coordinators = new Map<NodeId, string>();
  const start = (id: number) => startApiNode({ group, id, coordinators });
  return { group, coordinators, nodes: [await start(1), await start(2), await start(3)] };
}

/** Reads one request and then treats the connection as told; counts what it read. */
async function startBrokenNode(
  treat: (socket: Socket) => void,
): Promise<{ url: string; requests: () => number }> {
  let requests = 0;
  const server = createTcpServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      requests += 1;
      treat(socket);
    });
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}`, requests: () => requests };
}

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

async function refusedUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

test("a follower brings a transaction to the leader and the leader's answer back", async () => {
  const { group, nodes } = await startTrio();
  const answer = await post(nodes[1].url, TRANSFER, KEY);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("synod-leader")).toBe(`1; url="${nodes[0].url}"`);
  expect(group.submissions).toHaveLength(1);
  expect(group.submissions[0]?.idempotency?.key).toBe("key-1");
  const replay = await post(nodes[2].url, TRANSFER, KEY);
  expect(replay.headers.get("idempotent-replayed")).toBe("true");
  expect(replay.body).toEqual(answer.body);
});

test("a follower brings a list from the leader, with its whole query", async () => {
  const { nodes } = await startTrio();
  const answer = await get(nodes[1].url, "/v1/transactions?state=committed&limit=3");
  expect(answer).toMatchObject({
    status: 200,
    body: { transactions: [{ state: "committed" }], nextCursor: "3" },
  });
});

test("a follower relays the leader's refusals", async () => {
  const { nodes } = await startTrio();
  await post(nodes[1].url, TRANSFER, KEY);
  const answer = await post(nodes[1].url, { ...TRANSFER, isolation: "serializable" }, KEY);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect([answer.status, answer.body["code"]]).toEqual([422, "idempotency-key-reused"]);
});

test("a follower asks the leader what became of a transaction", async () => {
  const { nodes } = await startTrio();
  const answer = await get(nodes[2].url, `/v1/transactions/${wholeId("1-1-1")}`);
  expect([answer.status, answer.body]).toEqual([
    200,
    { id: wholeId("1-1-1"), state: "committed", pendingShards: [] },
  ]);
});

test("the leader gets no more time than the client has left", async () => {
  const { group, nodes } = await startTrio();
  group.leader = undefined;
  group.onAwaited = () => {
    setTimeout(() => (group.leader = nodeId(1)), 50);
  };
  expect((await post(nodes[1].url, { ...TRANSFER, timeoutMs: 5_000 })).status).toBe(200);
  expect(group.submissions[0]?.request.timeoutMs).toBeLessThan(5_000);
  expect(group.submissions[0]?.request.timeoutMs).toBeGreaterThan(3_000);
});

test("a node that leads answers itself while it was about to wait for a leader", async () => {
  const { group, nodes } = await startTrio();
  group.leader = undefined;
  const answer = post(nodes[1].url, TRANSFER);
  setTimeout(() => (group.leader = nodeId(2)), 50);
  expect((await answer).headers.get("synod-leader")).toBe(`2; url="${nodes[1].url}"`);
});

test("without a leader in time nothing has begun, and the client is told when to come back", async () => {
  const { group, nodes } = await startTrio();
  group.leader = undefined;
  const startedMs = performance.now();
  const answer = await post(nodes[1].url, TRANSFER);
  expect(performance.now() - startedMs).toBeGreaterThan(950);
  expect(answer.body).toMatchObject({ code: "no-quorum", outcome: "not_started", retryable: true });
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
  const impatientMs = performance.now();
  expect((await post(nodes[1].url, { ...TRANSFER, timeoutMs: 100 })).status).toBe(503);
  expect(performance.now() - impatientMs).toBeLessThan(800);
});

test("a leader that refuses connections has not begun: the next leader is asked, with or without key", async () => {
  const { group, nodes, coordinators } = await startTrio();
  coordinators.set(nodeId(1), await refusedUrl());
  for (const headers of [{}, KEY]) {
    group.leader = nodeId(1);
    const answer = post(nodes[1].url, TRANSFER, headers);
    setTimeout(() => (group.leader = nodeId(3)), 100);
    expect((await answer).status).toBe(200);
  }
  expect(group.submissions).toHaveLength(2);
});

test.each(["destroy", "half an answer"])(
  "a connection lost after sending (%s) is tried again under a key, and is unknown without one",
  async (how) => {
    const { group, nodes, coordinators } = await startTrio();
    const broken = await startBrokenNode((socket) => {
      if (how === "half an answer") socket.end("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{");
      else socket.destroy();
    });
    coordinators.set(nodeId(1), broken.url);
    const without = await post(nodes[1].url, TRANSFER);
    expect([without.status, without.body["code"]]).toEqual([504, "outcome-unknown"]);
    expect(without.body["outcome"]).toBe("unknown");
    expect(without.body["detail"]).toMatch(/without an idempotency key .* it may run twice/);
    expect(broken.requests()).toBe(1);
    const withKey = post(nodes[1].url, TRANSFER, KEY);
    setTimeout(() => (group.leader = nodeId(3)), 100);
    expect((await withKey).status).toBe(200);
    expect(group.submissions).toHaveLength(1);
  },
);

test("a transaction that committed before its answer was lost is not run again under its key", async () => {
  const { group, nodes } = await startTrio();
  group.beforeAnswer = async () => {
    group.beforeAnswer = () => undefined;
    group.leader = nodeId(3);
    await nodes[0].kill();
  };
  const answer = await post(nodes[1].url, TRANSFER, KEY);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("idempotent-replayed")).toBe("true");
  expect(answer.body["id"]).toBe(wholeId("1-1-1"));
});

test("after a lost attempt a refusal is not believed: it does not speak of the first attempt", async () => {
  const { group, nodes, coordinators } = await startTrio();
  const broken = await startBrokenNode((socket) => {
    group.leader = nodeId(3);
    socket.destroy();
  });
  coordinators.set(nodeId(1), broken.url);
  nodes[2].drain();
  const drained = await post(nodes[1].url, { ...TRANSFER, timeoutMs: 300 }, KEY);
  expect([drained.status, drained.body["outcome"]]).toEqual([504, "unknown"]);
  group.leader = nodeId(1);
  coordinators.set(
    nodeId(1),
    (
      await startBrokenNode((socket) => {
        group.leader = undefined;
        socket.destroy();
      })
    ).url,
  );
  const leaderless = await post(nodes[1].url, { ...TRANSFER, timeoutMs: 300 }, KEY);
  expect([leaderless.status, leaderless.body["outcome"]]).toEqual([504, "unknown"]);
});

test("a leader that never answers costs the client no more than its own deadline", async () => {
  const { nodes, coordinators } = await startTrio();
  const silent = await startBrokenNode(() => undefined);
  coordinators.set(nodeId(1), silent.url);
  const startedMs = performance.now();
  const answer = await post(nodes[1].url, { ...TRANSFER, timeoutMs: 200 }, KEY);
  expect([answer.status, answer.body["outcome"]]).toEqual([504, "unknown"]);
  expect(performance.now() - startedMs).toBeLessThan(2_500);
});

test("a follower says which ballot of the leader it means, and a client's own request means none", async () => {
  const { group, nodes } = await startTrio();
  await post(nodes[1].url, TRANSFER);
  await post(nodes[0].url, TRANSFER);
  expect(group.submissions.map(({ meantFor }) => meantFor)).toEqual([TWIN_BALLOT, undefined]);
});

test.each([{}, { "synod-ballot": "x" }, { "synod-ballot": "0" }])(
  "a forwarded request that does not say which leader it means is not begun: %j",
  async (headers) => {
    const { group, nodes } = await startTrio();
    const answer = await post(nodes[0].url, TRANSFER, { "synod-forwarded": "1", ...headers });
    expect([answer.status, answer.body["outcome"]]).toEqual([503, "not_started"]);
    expect(answer.headers.get("synod-refused")).toBe("no-quorum");
    expect(group.submissions).toHaveLength(0);
  },
);

test("for a client that has hung up while nobody leads nothing is begun", async () => {
  const { group, nodes } = await startTrio();
  group.leader = undefined;
  const client = new AbortController();
  const awaited = new Promise<void>((resolve) => (group.onAwaited = resolve));
  const answer = fetch(`${nodes[1].url}/v1/transactions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...KEY },
    body: JSON.stringify(TRANSFER),
    signal: client.signal,
  });
  await awaited;
  client.abort();
  await expect(answer).rejects.toThrow();
  // Another client's request on the same node goes the same way, later.
  const next = post(nodes[1].url, TRANSFER, { "idempotency-key": "key-2" });
  setTimeout(() => (group.leader = nodeId(3)), 100);
  expect((await next).status).toBe(200);
  expect(group.submissions.map(({ idempotency }) => idempotency?.key)).toEqual(["key-2"]);
});

test("a forwarded request is never forwarded again", async () => {
  const { group, nodes } = await startTrio();
  const answer = await post(nodes[1].url, TRANSFER, { "synod-forwarded": "1" });
  expect([answer.status, answer.body["code"]]).toEqual([503, "no-quorum"]);
  expect(answer.headers.get("synod-refused")).toBe("no-quorum");
  expect(group.submissions).toHaveLength(0);
});

test("a node that was taken for the leader says so, and the next one is found", async () => {
  const { group, nodes, coordinators } = await startTrio();
  const follower = coordinators.get(nodeId(2)) ?? "";
  coordinators.set(nodeId(1), follower);
  const answer = post(nodes[2].url, TRANSFER);
  setTimeout(() => (group.leader = nodeId(3)), 100);
  expect((await answer).status).toBe(200);
  expect(group.submissions).toHaveLength(1);
});

test("while the leader drains, followers wait for the next one", async () => {
  const { group, nodes } = await startTrio();
  nodes[0].drain();
  const direct = await post(nodes[0].url, TRANSFER);
  expect([direct.status, direct.body["code"], direct.body["outcome"]]).toEqual([
    503,
    "draining",
    "not_started",
  ]);
  const answer = post(nodes[1].url, TRANSFER);
  setTimeout(() => (group.leader = nodeId(3)), 100);
  expect((await answer).status).toBe(200);
});

test("many requests at once are forwarded over connections that are kept", async () => {
  const { group, nodes } = await startTrio();
  for (let round = 0; round < 3; round += 1) {
    const answers = await Promise.all(
      Array.from({ length: 32 }, () => post(nodes[1].url, TRANSFER)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 32 }, () => 200));
  }
  expect(group.submissions).toHaveLength(96);
});

const inquiry = {
  shard: "s1",
  branches: [
    { carrierId: "1-1-1", xid: "7" },
    { carrierId: "1-1-2", xid: "8" },
  ],
};

async function inquire(url: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/internal/v1/outcomes`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as { outcomes: unknown } };
}

test("a follower asks the leader about branches that it cannot judge", async () => {
  const { group, nodes } = await startTrio();
  group.outcomes.set("1-1-1", { kind: "committed", xid: null });
  group.outcomes.set("1-1-2", { kind: "aborted" });
  const expected = { outcomes: [{ kind: "committed", xid: null }, { kind: "aborted" }] };
  expect(await inquire(nodes[1].url, inquiry)).toEqual({ status: 200, body: expected });
  expect(await inquire(nodes[0].url, inquiry)).toEqual({ status: 200, body: expected });
});

test("an inquiry that nobody can judge stays undecided, and is forwarded at most once", async () => {
  const { group, nodes } = await startTrio();
  group.outcomes.set("1-1-1", { kind: "aborted" });
  group.outcomes.set("1-1-2", { kind: "aborted" });
  const undecided = { outcomes: [{ kind: "undecided" }, { kind: "undecided" }] };
  const forwarded = await inquire(nodes[1].url, inquiry, { "synod-forwarded": "1" });
  expect(forwarded.body).toEqual(undecided);
  await nodes[0].kill();
  expect((await inquire(nodes[1].url, inquiry)).body).toEqual(undecided);
  group.leader = undefined;
  expect((await inquire(nodes[1].url, inquiry)).body).toEqual(undecided);
});

test.each([
  {},
  { shard: "s1", branches: [] },
  { shard: "s1", branches: [{ carrierId: "", xid: "x" }] },
])("an inquiry out of protocol is refused: %j", async (body) => {
  const { nodes } = await startTrio();
  const answer = await inquire(nodes[0].url, body);
  expect([answer.status, (answer.body as { code?: string }).code]).toEqual([
    400,
    "invalid-request",
  ]);
});
