/** What is asked about a transaction by its id. */
import { describeFailure } from "../../client/commands/failure.ts";
import { RequestRefusedError, sql, Synod, UnavailableError } from "../../client/sdk.ts";
import {
  committed,
  failure,
  problem,
  type ScriptedApi,
  startScriptedApi,
  stopScriptedApis,
} from "../support/scripted-api.ts";

const ID = "1-1-1-abcdefgh";
const DEBIT = { shard: "s1", ...sql`update accounts set balance = balance - ${10}` };

const clients: Synod[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopScriptedApis();
});

function open(apis: readonly ScriptedApi[]): Synod {
  const client = new Synod({ endpoints: apis.map(({ url }) => url) });
  clients.push(client);
  return client;
}

test("a status is asked for until somebody answers", async () => {
  const status = { id: ID, state: "active", pendingShards: [] };
  const api = await startScriptedApi("lose the connection", problem("no-quorum"), {
    status: 200,
    body: { ...status, aFieldOfANewerServer: 1 },
  });
  expect(await open([api]).status(ID)).toEqual(status);
  const gone = await startScriptedApi(problem("not-found"));
  expect(await failure(open([gone]).status("x/y"))).toBeInstanceOf(RequestRefusedError);
  expect(gone.asked[0]?.path).toBe("/v1/transactions/x%2Fy");
});

test.each(["", ".", "..", "begin"])('"%s" is no id, and leads nowhere else', async (id) => {
  const api = await startScriptedApi(committed());
  const client = open([api]);
  const { interactive } = client;
  const calls = [
    client.status(id),
    interactive.query(id, 1, DEBIT),
    interactive.savepoint(id, 1, { savepoint: "s" }),
    interactive.commit(id),
    interactive.rollback(id),
  ];
  for (const call of calls) {
    expect(await failure(call)).toMatchObject({ code: "not-found", outcome: "not_started" });
  }
  expect(api.asked).toEqual([]);
});

test("a coordinator that cannot tell is not said to be silent", async () => {
  const api = await startScriptedApi(problem("outcome-unknown"));
  const error = await failure(open([api]).status(ID, { deadlineMs: 1_000 }));
  expect(error).toBeInstanceOf(UnavailableError);
  expect(error).toMatchObject({
    code: "outcome-unknown",
    message: "no coordinator could tell in time: outcome-unknown: because of outcome-unknown",
  });
  expect(describeFailure(error)).toMatchObject({ exitCode: 4 });
});

test("what a coordinator said first is not told of one that cannot be reached any more", async () => {
  const api = await startScriptedApi(problem("outcome-unknown"), "lose the connection");
  const call = open([api]).status(ID, { deadlineMs: 1_000 });
  expect(await failure(call)).toMatchObject({ code: "unreachable" });
});

test("a coordinator that is cut short by the deadline does not hide what was heard before", async () => {
  const api = await startScriptedApi(problem("outcome-unknown"), "never answer");
  const call = open([api]).status(ID, { deadlineMs: 1_000 });
  expect(await failure(call)).toMatchObject({ code: "outcome-unknown" });
});
