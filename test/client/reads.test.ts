import { sql, Synod } from "../../client/sdk.ts";
import { problem, startScriptedApi, stopScriptedApis } from "../support/scripted-api.ts";

const COUNT = { shard: "s1", ...sql`select count(*) as n from accounts where id = ${"alice"}` };
const RESULTS = { results: [{ rowCount: 1, rows: [{ n: "1" }] }] };

let client: Synod;
afterEach(async () => {
  client.close();
  await stopScriptedApis();
});

test("sends the operations without a key, and answers their results", async () => {
  const api = await startScriptedApi({ status: 200, body: RESULTS });
  client = new Synod({ endpoints: [api.url], token: "secret" });
  expect(await client.read([COUNT], { timeoutMs: 2_000 })).toEqual(RESULTS);
  expect(api.asked).toMatchObject([
    {
      ...{ method: "POST", path: "/v1/reads", authorization: "Bearer secret", key: undefined },
      body: {
        operations: [
          {
            shard: "s1",
            sql: "select count(*) as n from accounts where id = $1",
            params: ["alice"],
          },
        ],
        timeoutMs: 2_000,
      },
    },
  ]);
});

test("asks again when the answer is lost or the leader has changed: nothing is left behind", async () => {
  const api = await startScriptedApi("lose the connection", problem("coordinator-changed"), {
    status: 200,
    body: RESULTS,
  });
  client = new Synod({ endpoints: [api.url] });
  expect(await client.read([COUNT])).toEqual(RESULTS);
  expect(api.asked).toHaveLength(3);
});

test("a read that never gets an answer is unavailable, and not unclear", async () => {
  const api = await startScriptedApi("lose the connection");
  client = new Synod({ endpoints: [api.url] });
  await expect(client.read([COUNT], { deadlineMs: 300 })).rejects.toMatchObject({
    name: "UnavailableError",
    outcome: "not_started",
  });
});
