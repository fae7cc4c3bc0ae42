/** Ids that name nothing, at every route that takes one, on the leader and on a follower. */
import type { NodeId } from "../../shared/model/ids.ts";
import {
  get,
  startApiNode,
  stopApiNodes,
  TwinGroup,
  type Answer,
  type ApiNode,
} from "../support/api-node.ts";
import { wholeId } from "../support/ids.ts";

const BASE = "/v1/transactions";
const TWO_PHASE: string = wholeId("1-1-24");
const ONE_PHASE: string = wholeId("1-1-24", ".s1");

const MISTYPED: readonly (readonly [what: string, id: string])[] = [
  ["without its shard", ONE_PHASE.replace(".s1", "")],
  ["with another shard", ONE_PHASE.replace(".s1", ".s2")],
  ["with half of its shard", ONE_PHASE.replace(".s1", ".s")],
  ["with its shard turned round", ONE_PHASE.replace(".s1", ".1s")],
  ["with a shard that is not its own", `${TWO_PHASE}.s1`],
  ["of another place", TWO_PHASE.replace("-24-", "-25-")],
  ["of a place turned round", TWO_PHASE.replace("-24-", "-42-")],
  ["of half of a place", TWO_PHASE.replace("-24-", "-2-")],
  ["of another leader", TWO_PHASE.replace("1-1-", "1-2-")],
  ["of another round", TWO_PHASE.replace("1-1-", "2-1-")],
  ["with a nought before it", `0${TWO_PHASE}`],
  ["with a wrong character at its end", TWO_PHASE.replace(/.$/, "x")],
  ["with another check", TWO_PHASE.replace("-24-", "-24-0").slice(0, -1)],
  ["with a doubled character", TWO_PHASE.replace("d", "dd")],
  ["without a character", TWO_PHASE.replace("d", "")],
  ["with two characters turned round", TWO_PHASE.replace("de", "ed")],
  ["in capitals", TWO_PHASE.toUpperCase()],
  ["cut", TWO_PHASE.slice(0, 10)],
];
const CALLS: readonly (readonly [method: string, suffix: string, body?: object])[] = [
  ["GET", ""],
  ["DELETE", ""],
  ["POST", "/commit", {}],
  ["POST", "/statements", { seq: 1, shard: "s1", sql: "select 1" }],
  ["POST", "/statements", { seq: 1, savepoint: "before" }],
];

let group: TwinGroup;
let nodes: readonly ApiNode[];

beforeAll(async () => {
  group = new TwinGroup();
  const coordinators = new Map<NodeId, string>();
  const start = (id: number): Promise<ApiNode> => startApiNode({ group, id, coordinators });
  nodes = [await start(1), await start(2)];
});
afterAll(stopApiNodes);

async function call(
  { url }: ApiNode,
  id: string,
  [method, suffix, body]: (typeof CALLS)[number],
): Promise<Pick<Answer, "status" | "body">> {
  const response = await fetch(`${url}${BASE}/${id}${suffix}`, {
    method,
    ...(body !== undefined && {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  const { status } = response;
  return { status, body: (await response.json()) as Record<string, unknown> };
}

test("an id as it was given is known to every call", async () => {
  for (const asked of CALLS) {
    for (const node of nodes) {
      for (const id of [TWO_PHASE, ONE_PHASE]) {
        expect(await call(node, id, asked)).toMatchObject({ status: 200 });
      }
    }
  }
});

test.each(MISTYPED)("an id %s is not found, and nobody is asked about it", async (_, id) => {
  const reached = group.interactiveCalls.length;
  for (const node of nodes) {
    for (const asked of CALLS) {
      const [mistyped, nothing] = [await call(node, id, asked), await call(node, "x", asked)];
      expect(mistyped.status).toBe(404);
      expect(mistyped.body).toMatchObject({ code: "not-found", outcome: "not_started" });
      expect({ ...mistyped.body, instance: "" }).toEqual({ ...nothing.body, instance: "" });
      expect(mistyped.body).not.toHaveProperty("transactionId");
    }
  }
  expect(group.interactiveCalls).toHaveLength(reached);
});

test("a cursor is an id, too", async () => {
  const cursor = async (text: string): Promise<number> =>
    (await get(nodes[0]!.url, `${BASE}?cursor=${text}`)).status;
  expect(await cursor(TWO_PHASE)).toBe(200);
  for (const [, id] of MISTYPED) expect(await cursor(id)).toBe(400);
});
