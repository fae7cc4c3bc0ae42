/** Whose a transaction is, and whose an idempotency key: seen from outside, on every node. */
import { Clients, hashOf } from "../../coordinator/api/access/clients.ts";
import { Gate } from "../../coordinator/api/access/gate.ts";
import { Ownership } from "../../coordinator/api/access/ownership.ts";
import { withCheck } from "../../shared/model/id-check.ts";
import type { NodeId, TransactionId } from "../../shared/model/ids.ts";
import { systemClock } from "../../shared/runtime/clock.ts";
import { CLUSTER_HEADER, ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import {
  post,
  startApiNode,
  stopApiNodes,
  TRANSFER,
  TwinGroup,
  type ApiNode,
} from "../support/api-node.ts";
import { wholeId } from "../support/ids.ts";

const secret = new ClusterSecret("the secret of the cluster under test");
const clients = new Clients([
  { id: "billing", role: "client", tokens: [hashOf("billing-1"), hashOf("billing-2")] },
  { id: "bill", role: "client", tokens: [hashOf("bill-1")] },
  { id: "audit", role: "observer", tokens: [hashOf("audit-1")] },
  { id: "ops", role: "operator", tokens: [hashOf("ops-1")] },
]);
const BASE = "/v1/transactions";
const KEY = { "idempotency-key": "key-1" };
const NOBODYS = wholeId("1-1-7");

let group: TwinGroup;
let leader: ApiNode;
let follower: ApiNode;

beforeEach(async () => {
  group = new TwinGroup();
  const coordinators = new Map<NodeId, string>();
  const start = (id: number): Promise<ApiNode> => {
    const gate = new Gate({ clients, secret, clock: systemClock });
    return startApiNode({ group, id, coordinators, gate, secret });
  };
  [leader, follower] = [await start(1), await start(2)];
});
afterEach(stopApiNodes);

const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

interface Told {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly text: string;
}

async function call(
  node: ApiNode,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: object,
): Promise<Told> {
  const response = await fetch(node.url + path, {
    method,
    headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const kept = [...response.headers].filter(([name]) => name !== "date");
  return { status: response.status, headers: kept, text: await response.text() };
}

async function begin(token: string, node = leader): Promise<string> {
  const { status, text } = await call(node, "POST", `${BASE}/begin`, as(token));
  expect(status).toBe(201);
  return (JSON.parse(text) as { id: string }).id;
}

const CALLS: readonly [method: string, suffix: string, body?: object][] = [
  ["GET", ""],
  ["DELETE", ""],
  ["POST", "/commit", {}],
  ["POST", "/statements", { seq: 1, shard: "s1", sql: "select 1" }],
];

test.each(CALLS)(
  "%s …%s of a transaction is for its client alone, on every node",
  async (...of) => {
    const [method, suffix, body] = of;
    for (const id of [await begin("billing-1"), await begin("billing-1", follower)]) {
      for (const node of [leader, follower]) {
        const at = (token: string, path = id): Promise<Told> =>
          call(node, method, `${BASE}/${path}${suffix}`, as(token), body);
        expect((await at("billing-1")).status).toBe(200);
        expect((await at("billing-2")).status).toBe(200);
        expect((await at("ops-1")).status).toBe(200);
        expect((await at("audit-1")).status).toBe(method === "GET" ? 200 : 403);
        const reached = group.interactiveCalls.length;
        const [stranger, missing] = [await at("bill-1"), await at("bill-1", NOBODYS)];
        expect(stranger.status).toBe(404);
        const length = (text: string): string => String(text.length);
        const same = { ...stranger, text: stranger.text.replaceAll(id, NOBODYS) };
        expect(missing).toEqual({
          ...same,
          headers: same.headers.map(([name, value]) => {
            return [name, name === "content-length" ? length(same.text) : value];
          }),
        });
        expect(group.interactiveCalls).toHaveLength(reached);
      }
    }
  },
);

test("whoever is asked first, and by whichever token, the leader begins for the client", async () => {
  await begin("billing-1");
  await begin("billing-2", follower);
  await begin("ops-1", follower);
  expect(group.begunFor).toEqual(["billing", "billing", "ops"]);
});

test("a one-shot transaction is its client's, too", async () => {
  const { body } = await post(follower.url, TRANSFER, as("billing-1"));
  const path = `${BASE}/${String(body["id"])}`;
  expect((await call(leader, "GET", path, as("billing-2"))).status).toBe(200);
  expect((await call(follower, "GET", path, as("bill-1"))).status).toBe(404);
});

test("a list holds a client's own transactions, an observer's and an operator's all of them", async () => {
  const own = await begin("billing-1", follower);
  const listed = async (token: string, node: ApiNode): Promise<readonly string[]> => {
    const { text } = await call(node, "GET", BASE, as(token));
    const { transactions } = JSON.parse(text) as { transactions: { id: string }[] };
    return transactions.map(({ id }) => id);
  };
  for (const node of [leader, follower]) {
    expect(await listed("billing-2", node)).toEqual([own]);
    expect(await listed("bill-1", node)).toEqual([]);
    for (const token of ["audit-1", "ops-1"]) expect(await listed(token, node)).toEqual(group.ids);
  }
});

test("two clients with the same key never meet, and a client that shows another of its tokens does", async () => {
  const ids = [];
  for (const [node, token] of [
    [leader, "billing-1"],
    [follower, "bill-1"],
    [follower, "billing-2"],
    [leader, "bill-1"],
  ] as const) {
    const answer = await post(node.url, TRANSFER, { ...KEY, ...as(token) });
    ids.push([answer.body["id"], answer.headers.get("idempotent-replayed")]);
  }
  const [one, other] = [ids[0]?.[0], ids[1]?.[0]];
  expect(one).not.toBe(other);
  expect(ids).toEqual([
    [one, null],
    [other, null],
    [one, "true"],
    [other, "true"],
  ]);
  expect(group.submissions.map(({ idempotency }) => idempotency?.key)).toEqual(
    ["billing", "bill", "billing", "bill"].map((name) => `${name} key-1`),
  );
});

test("a client cannot say that it is another one, nor that a node asks for it", async () => {
  const id = await begin("billing-1");
  const lies = { "synod-client": "operator ops", "synod-forwarded": "1", "synod-ballot": "7169" };
  for (const proof of [{}, { [CLUSTER_HEADER]: "guessed" }]) {
    const headers = { ...as("bill-1"), ...lies, ...proof };
    expect((await call(leader, "GET", `${BASE}/${id}`, headers)).status).toBe(404);
    await post(leader.url, TRANSFER, { ...headers, ...KEY });
    expect(group.submissions.at(-1)?.idempotency?.key).toBe("bill key-1");
    expect(group.submissions.at(-1)?.meantFor).toBeUndefined();
    const nameless = { ...lies, ...proof };
    expect((await call(leader, "GET", `${BASE}/${id}`, nameless)).status).toBe(401);
  }
});

test.each(["", "operator", "root ops", "client a b", "client  a"])(
  'a node that says "%s" asks for nobody',
  async (name) => {
    const headers = {
      ...{ [CLUSTER_HEADER]: secret.httpToken, "synod-forwarded": "1", ...as("ops-1") },
      ...(name !== "" && { "synod-client": name }),
    };
    expect((await call(leader, "GET", BASE, headers)).status).toBe(401);
  },
);

describe("the seal in an id", () => {
  const ownership = new Ownership(secret);
  const seal = (bare: string): TransactionId => {
    const [head = "", ...shard] = bare.split(".");
    const end = ownership.ownerNamed("billing").sealOf(bare as TransactionId);
    return [head + end, ...shard].join(".") as TransactionId;
  };
  const sealed = seal("1-1-5-aaaabbbbc");
  const sealedOnePhase = seal("1-1-5-aaaabbbbc.s1");
  const [id, onePhase] = [withCheck(sealed), withCheck(sealedOnePhase)];

  test("shows its client and no other, one whose name begins like it included", () => {
    for (const own of [id, onePhase]) {
      expect(ownership.owns("billing", own)).toBe(true);
      expect(ownership.owns("bill", own)).toBe(false);
      expect(ownership.owns("", own)).toBe(false);
    }
    const other = new Ownership(new ClusterSecret("the secret of another cluster, really"));
    expect(other.owns("billing", id)).toBe(false);
  });

  test("cannot be carried over to another id", () => {
    const end = sealed.slice(-12);
    for (const forged of [
      `1-1-6-aaaabbbbc${end}`,
      `2-1-5-aaaabbbbc${end}`,
      `01-1-5-aaaabbbbc${end}`,
      `1-1-5-aaaabbbbd${end}`,
      `1-1-5-aaaabbbbc`,
      `${sealed}.s1`,
      sealedOnePhase.replace(".s1", ".s2"),
      sealedOnePhase.replace(".s1", ""),
    ]) {
      expect(ownership.owns("billing", withCheck(forged as TransactionId))).toBe(false);
    }
    expect(ownership.owns("billing", sealed)).toBe(false);
  });
});
