/** `POST /v1/reads`, as its clients see it. */
import { nodeId, type NodeId } from "../../shared/model/ids.ts";
import { startApiNode, stopApiNodes, TwinGroup } from "../support/api-node.ts";

const COUNT = {
  operations: [
    { shard: "s1", sql: "select sum(b) from a where b > $1", params: [0] },
    { shard: "s2", sql: "select sum(b) from a" },
  ],
};

afterEach(stopApiNodes);

async function read(url: string, body: unknown, method = "POST"): Promise<Response> {
  return fetch(`${url}/v1/reads`, {
    method,
    headers: { "content-type": "application/json" },
    ...(method === "POST" && { body: JSON.stringify(body) }),
  });
}

test("a read answers with the results of its operations, in their order", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const response = await read(url, COUNT);
  expect(response.status).toBe(200);
  const one = { rowCount: 1, rows: [] };
  expect(await response.json()).toEqual({ results: [one, one] });
});

test("a node that does not lead forwards a read to the one that does", async () => {
  const [group, coordinators] = [new TwinGroup(), new Map<NodeId, string>()];
  await startApiNode({ group, coordinators, id: 1 });
  const follower = await startApiNode({ group, coordinators, id: 2 });
  group.leader = nodeId(1);
  const response = await read(follower.url, COUNT);
  expect(response.status).toBe(200);
  expect(await response.json()).toHaveProperty("results");
});

test.each([
  ["without operations", { operations: [] }, "operations"],
  [
    "with an isolation, which a read does not have",
    { ...COUNT, isolation: "serializable" },
    "isolation",
  ],
  ["with something to wait for", { ...COUNT, waitFor: "decided" }, "waitFor"],
  [
    "of a shard that is not there",
    { operations: [{ shard: "s9", sql: "select 1" }] },
    "operations[0].shard",
  ],
  [
    "with too few values",
    { operations: [{ shard: "s1", sql: "select $1" }] },
    "operations[0].params",
  ],
])("a read %s is refused, and the field is named", async (_, body, field) => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const response = await read(url, body);
  expect(response.status).toBe(400);
  const problem = (await response.json()) as { errors: { field: string }[]; outcome: string };
  expect(problem.outcome).toBe("not_started");
  expect(problem.errors[0]?.field).toBe(field);
});

test("a read that is two statements in one is refused", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const response = await read(url, { operations: [{ shard: "s1", sql: "select 1; select 2" }] });
  expect(response.status).toBe(422);
});

test.each([
  ["update", "select balance from a where id = 1 for update"],
  ["update", "select 1 from (select id from a for no key update skip locked) b"],
  ["update", "with b as (select id from a for share) select * from b"],
  ["update", "select id from a for key share of a nowait"],
  ["update", "update a set b = 1"],
  ["insert", "insert into a values (1)"],
  ["delete", "with gone as (delete from a returning 1) select * from gone"],
])(
  "a read that would %s rows or lock them is refused before a shard is asked: %s",
  async (what, sql) => {
    const { url } = await startApiNode({ group: new TwinGroup() });
    const response = await read(url, { operations: [COUNT.operations[1], { shard: "s1", sql }] });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      ...{ code: "statement-not-allowed", outcome: "not_started" },
      errors: [
        {
          field: "operations[1].sql",
          sentence: expect.stringMatching(`counts as ${what}, but a read takes only`) as string,
        },
      ],
    });
  },
);

test("a read may say update and lock where they are only words", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const sql = "select 'for update' as lock, updated from a -- for share";
  expect((await read(url, { operations: [{ shard: "s1", sql }] })).status).toBe(200);
});

test("reads are posted", async () => {
  const { url } = await startApiNode({ group: new TwinGroup() });
  const response = await read(url, undefined, "GET");
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe("POST");
});
