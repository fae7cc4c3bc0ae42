/** Clients that are slow, talkative or many, at a node of built programs: each is bounded, and the others are served meanwhile. */
import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { seedAccounts } from "../../demo/accounts.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { HTTP_LIMITS } from "../../shared/runtime/http.ts";
import { readMetrics } from "../support/metrics.ts";
import { openRaw, type RawConnection } from "../support/raw-http.ts";
import { eventually } from "../support/wait.ts";

const MAX_IN_FLIGHT = 4;
const MAX_OPEN = 2;
const home = mkdtempSync(join(tmpdir(), "synod-limits-"));
chmodSync(home, 0o755);
let cluster: LocalCluster;
let url: string;
const open: RawConnection[] = [];

beforeAll(async () => {
  cluster = await startLocalCluster({
    ...{ coordinators: 1, shards: 1, directory: join(home, "cluster") },
    env: {
      SYNOD_MAX_IN_FLIGHT: String(MAX_IN_FLIGHT),
      SYNOD_MAX_OPEN_PER_CLIENT: String(MAX_OPEN),
    },
  });
  url = cluster.coordinators[0]!.url;
  const [{ shard, postgresUrl }] = cluster.participants as [LocalCluster["participants"][0]];
  await seedAccounts({ shard, url: postgresUrl }, [{ id: "alice", balance: 100 }]);
}, 60_000);

afterEach(() => {
  for (const { socket } of open.splice(0)) socket.destroy();
});

afterAll(async () => {
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

async function raw(text: string): Promise<RawConnection> {
  const connection = await openRaw(url, text);
  open.push(connection);
  return connection;
}

const many = (count: number, text: string): Promise<RawConnection[]> =>
  Promise.all(Array.from({ length: count }, () => raw(text)));

const post = (sql: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${url}/v1/transactions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ operations: [{ shard: "s1", sql }] }),
  });

async function expectOthersAreServed(): Promise<void> {
  expect((await post("update accounts set balance = balance")).status).toBe(200);
}

const HEAD = "POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

test("a client that opens too many transactions is told when to come again, and what is open is counted", async () => {
  const begin = (): Promise<Response> => fetch(`${url}/v1/transactions/begin`, { method: "POST" });
  const begun = [await begin(), await begin()];
  expect(begun.map(({ status }) => status)).toEqual([201, 201]);
  const refused = await begin();
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(await refused.json()).toMatchObject({ code: "too-many-open", outcome: "not_started" });
  const metrics = await readMetrics(url);
  expect(metrics.of("synod_interactive_open", { client: "" })).toBe(MAX_OPEN);
  expect(metrics.of("synod_errors_total", { code: "too-many-open" })).toBe(1);
  for (const answer of begun) {
    const rolledBack = await fetch(url + answer.headers.get("location")!, { method: "DELETE" });
    expect(rolledBack.status).toBe(200);
  }
  const again = await begin();
  expect(again.status).toBe(201);
  await fetch(url + again.headers.get("location")!, { method: "DELETE" });
});

test("slow-loris: headers that never end are 408 within seconds, and take nobody's place", async () => {
  const startedAtMs = performance.now();
  const slow = await many(64, HEAD);
  const trickle = setInterval(() => {
    for (const { socket } of slow) socket.write("X-More: 1\r\n");
  }, 500);
  await expectOthersAreServed();
  const answers = await Promise.all(slow.map(({ ended }) => ended));
  clearInterval(trickle);
  expect(answers.filter((text) => !text.startsWith("HTTP/1.1 408 "))).toEqual([]);
  const bound = HTTP_LIMITS.headersTimeoutMs + 2 * HTTP_LIMITS.checkIntervalMs;
  expect(performance.now() - startedAtMs).toBeLessThan(bound);
});

test("slow-loris: bodies that never end take nobody's place among the requests in flight", async () => {
  await many(8 * MAX_IN_FLIGHT, `${HEAD}Content-Length: 100\r\n\r\n{"operations"`);
  await many(8 * MAX_IN_FLIGHT, `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`);
  await expectOthersAreServed();
});

test("a body that announces too much is 413 at once, and the connection closed", async () => {
  const { answered, ended } = await raw(`${HEAD}Content-Length: 300000\r\n\r\n{`);
  expect(await answered(/"body-too-large"/)).toMatch(/^HTTP\/1\.1 413 [^]*Connection: close\r\n/);
  await ended;
});

test("a body that grows too large is 413 as soon as it has, and the connection closed", async () => {
  const chunk = `40000\r\n${" ".repeat(0x40000)}\r\n`;
  const { socket, answered, ended } = await raw(
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk}`,
  );
  socket.write("1\r\n \r\n");
  expect(await answered(/"body-too-large"/)).toMatch(/^HTTP\/1\.1 413 [^]*Connection: close\r\n/);
  await ended;
});

test.each<[string, string]>([
  ["a header of 20 KiB", `${HEAD}X-Large: ${"x".repeat(20 * 1024)}\r\n\r\n`],
  ["an address of 20 KiB", `GET /${"x".repeat(20 * 1024)} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ["4,000 headers", `${HEAD}${"a:\r\n".repeat(4_000)}\r\n`],
  ["65 headers", `GET /livez HTTP/1.1\r\nHost: x\r\n${"a: 1\r\n".repeat(64)}\r\n`],
])("header flood: %s is 431, and the connection closed", async (_, text) => {
  const { ended } = await raw(text);
  expect(await ended).toMatch(/^HTTP\/1\.1 431 /);
  await expectOthersAreServed();
});

test("no header is left out unread: 64 of them arrive, the last one, too", async () => {
  const filler = "a: 1\r\n".repeat(59);
  const { answered } = await raw(
    `${HEAD}${filler}Content-Length: 2\r\nIdempotency-Key: two words\r\n\r\n{}`,
  );
  expect(await answered(/"code"/)).toContain("idempotency-key-invalid");
});

test("too many in flight: 503 at once with Retry-After, and looking is refused like asking", async () => {
  const holder = new pg.Client({ connectionString: cluster.participants[0]!.postgresUrl });
  await holder.connect();
  await holder.query("begin");
  await holder.query("select from accounts for update");
  const waiting = Array.from({ length: MAX_IN_FLIGHT }, () =>
    post("update accounts set balance = balance"),
  );
  const refused = async (): Promise<boolean> => {
    const { status, headers } = await fetch(`${url}/v1/transactions`);
    return status === 503 && headers.get("retry-after") === "1";
  };
  await eventually("the places are taken", refused);
  const sixth = await post("select 1");
  expect(await sixth.json()).toMatchObject({ code: "overloaded", outcome: "not_started" });
  expect((await fetch(`${url}/livez`)).status).toBe(200);
  await holder.query("rollback");
  await holder.end();
  const statuses = (await Promise.all(waiting)).map(({ status }) => status);
  expect(statuses).toEqual(waiting.map(() => 200));
  await expectOthersAreServed();
});

test("a client that asks too often is 429 with Retry-After, and another one is served", async () => {
  const file = join(home, "clients.json");
  const hash = (token: string): string => createHash("sha256").update(token).digest("hex");
  const clients = [
    { id: "eager", role: "client", tokens: [hash("eager-1")], requestsPerSecond: 2 },
    { id: "calm", role: "client", tokens: [hash("calm-1")] },
  ];
  writeFileSync(file, JSON.stringify({ clients }));
  await cluster.restart(cluster.coordinators[0]!, { SYNOD_CLIENTS_FILE: file });
  const as = (token: string) => ({ authorization: `Bearer ${token}` });
  const eager = await Promise.all([1, 2, 3, 4].map(() => post("select 1", as("eager-1"))));
  const limited = eager.filter(({ status }) => status === 429);
  expect(limited.length).toBeGreaterThanOrEqual(1);
  expect(limited.map(({ headers }) => headers.get("retry-after"))).toEqual(limited.map(() => "1"));
  const calm = async (): Promise<boolean> => {
    return (await post("select 1", as("calm-1"))).status === 200;
  };
  await eventually("the shard is reached again", calm);
});
