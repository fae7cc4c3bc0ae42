/** Who may ask a coordinator for what, as those find it who ask. */
import { Clients, hashOf } from "../../coordinator/api/access/clients.ts";
import { Gate } from "../../coordinator/api/access/gate.ts";
import { nodeId, type NodeId } from "../../shared/model/ids.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { CLUSTER_HEADER, ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import {
  get,
  post,
  startApiNode,
  stopApiNodes,
  TRANSFER,
  TwinGroup,
  type ApiNode,
} from "../support/api-node.ts";

const [BILLING, BILLING_NEXT, AUDIT, OPS] = ["billing-1", "billing-2", "audit-1", "ops-1"] as const;
const secret = new ClusterSecret("the secret of the cluster under test");
const clients = new Clients([
  { id: "billing", role: "client", tokens: [hashOf(BILLING), hashOf(BILLING_NEXT)] },
  { id: "audit", role: "observer", tokens: [hashOf(AUDIT)] },
  { id: "ops", role: "operator", tokens: [hashOf(OPS)] },
  { id: "slow", role: "client", tokens: [hashOf("slow-1")], requestsPerSecond: 2 },
]);
const INQUIRY = { shard: "s1", branches: [{ carrierId: "1-1-1", xid: "7" }] };

afterEach(stopApiNodes);

const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const newGate = (): Gate => new Gate({ clients, secret, clock: systemClock });

function start(
  options: {
    readonly group?: TwinGroup;
    readonly id?: number;
    readonly coordinators?: Map<NodeId, string>;
  } = {},
): Promise<ApiNode> {
  return startApiNode({ group: new TwinGroup(), ...options, gate: newGate(), secret });
}

async function status(url: string, path: string, headers: Record<string, string>): Promise<number> {
  return (await fetch(url + path, { headers })).status;
}

test("who shows no token, or one that nobody has, is told so and nothing begins", async () => {
  const group = new TwinGroup();
  const { url } = await start({ group });
  for (const headers of [
    {},
    as("guessed"),
    as(hashOf(BILLING)),
    { authorization: BILLING },
    { authorization: "Basic eDp5" },
  ]) {
    const answer = await post(url, TRANSFER, headers);
    expect(answer).toMatchObject({
      status: 401,
      body: { code: "unauthenticated", outcome: "not_started" },
    });
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
  }
  expect(group.submissions).toEqual([]);
});

test("each of a client's tokens is good, so that one can take the other's place", async () => {
  const { url } = await start();
  for (const token of [BILLING, BILLING_NEXT]) {
    expect((await post(url, TRANSFER, as(token))).status).toBe(200);
  }
});

test("an observer may look and nothing else", async () => {
  const { url } = await start();
  expect(await status(url, "/v1/cluster", as(AUDIT))).toBe(200);
  expect(await post(url, TRANSFER, as(AUDIT))).toMatchObject({
    status: 403,
    body: { code: "forbidden", outcome: "not_started" },
  });
});

test("supervisors need no token", async () => {
  const { url } = await start();
  expect((await get(url, "/livez")).status).toBe(200);
  expect((await get(url, "/readyz")).status).toBe(200);
  expect((await get(url, "/v1/cluster")).status).toBe(401);
});

test("a follower brings a client's request to the leader, which knows him as well", async () => {
  const [group, coordinators] = [new TwinGroup(), new Map<NodeId, string>()];
  await start({ group, coordinators, id: 1 });
  const follower = await start({ group, coordinators, id: 2 });
  group.leader = nodeId(1);
  expect((await post(follower.url, TRANSFER, as(BILLING))).status).toBe(200);
  expect((await post(follower.url, TRANSFER, as("guessed"))).status).toBe(401);
});

test("what nodes ask each other is for those who know the cluster's secret, whatever token a client has", async () => {
  const { url } = await start();
  const ask = async (headers: Record<string, string>): Promise<number> => {
    const response = await fetch(`${url}/internal/v1/outcomes`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(INQUIRY),
    });
    return response.status;
  };
  expect(await ask({ [CLUSTER_HEADER]: secret.httpToken })).toBe(200);
  expect(await ask(as(OPS))).toBe(401);
  expect(await ask({ [CLUSTER_HEADER]: "guessed" })).toBe(401);
});

test("a client that asks too often is told when to come back, others are not held up", async () => {
  const { url } = await start();
  const answers = await Promise.all([1, 2, 3, 4].map(() => post(url, TRANSFER, as("slow-1"))));
  const refused = answers.filter((answer) => answer.status === 429);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]).toMatchObject({
    body: { code: "too-many-requests", retryable: true, outcome: "not_started" },
  });
  expect(Number(refused[0]?.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await post(url, TRANSFER, as(BILLING))).status).toBe(200);
});

const TOKEN = hashOf("t");

test.each([
  ["no JSON", "{", "it is not JSON"],
  ["nobody", { clients: [] }, /^clients: /],
  [
    "a token itself",
    { clients: [{ id: "a", role: "client", tokens: ["secret-token"] }] },
    /SHA-256/,
  ],
  [
    "an unknown role",
    { clients: [{ id: "a", role: "root", tokens: [TOKEN] }] },
    /^clients\[0\]\.role: must be one of observer, client, operator$/,
  ],
  [
    "a misspelt field",
    { clients: [{ id: "a", role: "client", tokens: [TOKEN], rate: 1 }] },
    /^clients\[0\]\.rate: there is no such field$/,
  ],
  [
    "one name for two",
    {
      clients: [
        { id: "a", role: "client", tokens: [TOKEN] },
        { id: "a", role: "client", tokens: [hashOf("u")] },
      ],
    },
    /clients\[1\]: a comes twice/,
  ],
  [
    "one token for two",
    {
      clients: [
        { id: "a", role: "client", tokens: [TOKEN] },
        { id: "b", role: "operator", tokens: [TOKEN] },
      ],
    },
    /clients\[1\]: b has a token of somebody else/,
  ],
])("a clients' file with %s is refused, and no token is quoted", (_, content, sentence) => {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  expect(() => Clients.parse(text)).toThrow(sentence);
  try {
    Clients.parse(text);
  } catch (error) {
    expect(String(error)).not.toContain("secret-token");
  }
});
