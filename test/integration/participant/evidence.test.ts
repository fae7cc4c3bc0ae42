/** How a participant knows that a branch ended, on a real server. */
import type { Xid } from "../../../shared/model/ids.ts";
import type { CommitReply } from "../../../shared/model/protocol.ts";
import { ballotOf, gidOf, LINK, SHARD } from "../../participant/node-fixture.ts";
import { ADD, operation } from "../../participant/shard-contract.ts";
import { eventually } from "../../support/wait.ts";
import { createShard, openShard, type ShardFixture } from "./postgres-fixture.ts";
import { createPostgresNode, type PostgresNode } from "./postgres-node.ts";
import { startTcpProxy, type TcpProxy, throughProxy } from "./tcp-proxy.ts";

let fixture: ShardFixture;
let node: PostgresNode;

beforeEach(async () => {
  fixture = await createShard();
  node = createPostgresNode(fixture.shard);
});
afterEach(async () => {
  await fixture.close();
});

async function prepare(sequence = 1, { execute } = node): Promise<Xid> {
  const vote = await execute(sequence, [operation(ADD, 1, "a")]);
  if (vote.kind !== "prepared") throw new Error(JSON.stringify(vote));
  return vote.xid;
}

const commit = (xid: Xid, { node: participant } = node): Promise<CommitReply> =>
  participant.handle(LINK, { kind: "commit", gid: gidOf(1), xid }) as Promise<CommitReply>;

/** Another participant process on the same database, which knows nothing of the first. */
const successor = (): PostgresNode => createPostgresNode(fixture.shard, "boot-2");

test("committed by its own command", async () => {
  const xid = await prepare();
  expect(await commit(xid)).toEqual({ kind: "committed", evidence: "commandTag" });
  expect(await fixture.valueOf("a")).toBe("101");
});

test.each(["the same participant", "its successor"])(
  "a branch that somebody else committed is confirmed to %s by its status",
  async (who) => {
    const xid = await prepare();
    await fixture.client.query(`commit prepared '${gidOf(1)}'`);
    const asked = who === "its successor" ? successor() : node;
    expect(await commit(xid, asked)).toEqual({ kind: "committed", evidence: "transactionStatus" });
  },
);

test.each(["the same participant", "its successor"])(
  "a committed branch that somebody else rolled back is lost, says %s",
  async (who) => {
    const xid = await prepare();
    await fixture.client.query(`rollback prepared '${gidOf(1)}'`);
    const asked = who === "its successor" ? successor() : node;
    expect(await commit(xid, asked)).toMatchObject({ kind: "lost" });
    expect(asked.node.view().incidentCount).toBe(1);
  },
);

test("a branch of an xid that this server never gave out is lost", async () => {
  expect(await commit("4000000000000" as Xid)).toMatchObject({ kind: "lost" });
});

test("another transaction under the same gid is not committed", async () => {
  await fixture.client.query("begin; update items set value = 7 where id = 'b'");
  await fixture.client.query(`prepare transaction '${gidOf(1)}'`);
  expect(await commit("3" as Xid)).toMatchObject({ kind: "lost" });
  expect(await fixture.prepared()).toEqual([gidOf(1)]);
});

test("two participants that commit the same branch both confirm it in the end", async () => {
  const xid = await prepare();
  const asked = [node, successor()];
  const replies = await Promise.all(asked.map((one) => commit(xid, one)));
  for (const [index, reply] of replies.entries()) {
    expect(["committed", "retry"]).toContain(reply.kind);
    if (reply.kind === "retry")
      expect(await commit(xid, asked[index])).toMatchObject({ kind: "committed" });
  }
  expect(await fixture.valueOf("a")).toBe("101");
});

test("an abort rolls back, and one that finds nothing is done", async () => {
  await prepare();
  const abort = { kind: "abort", gid: gidOf(1) } as const;
  expect(await node.node.handle(LINK, abort)).toEqual({ kind: "aborted" });
  expect(await fixture.prepared()).toEqual([]);
  expect(await successor().node.handle(LINK, abort)).toEqual({ kind: "aborted" });
});

test("an abort of a branch that somebody else committed is an incident", async () => {
  await prepare();
  await fixture.client.query(`commit prepared '${gidOf(1)}'`);
  expect(await node.node.handle(LINK, { kind: "abort", gid: gidOf(1) })).toMatchObject({
    kind: "lost",
  });
});

test("only this cluster's and shard's branches are listed and looked after", async () => {
  const xid = await prepare();
  for (const gid of ["citus_0_1_2", "synod_test_1-1-1_s2", "synod_other_1-1-1_s1"]) {
    await fixture.client.query("begin; insert into entries values ('" + gid + "', '')");
    await fixture.client.query(`prepare transaction '${gid}'`);
  }
  const list = { kind: "list", ballot: ballotOf(1) } as const;
  expect(await node.node.handle(LINK, list)).toMatchObject({ branches: [{ gid: gidOf(1), xid }] });
  const next = successor();
  next.inquirer.answer = { kind: "aborted" };
  next.node.start();
  await eventually(
    "the branch is rolled back",
    async () => !(await fixture.prepared()).includes(gidOf(1)),
  );
  await next.node.stop();
  expect(await fixture.prepared()).toHaveLength(3);
  for (const gid of await fixture.prepared())
    await fixture.client.query(`rollback prepared '${gid}'`);
});

test("a prepared branch survives a crash of the server, and its successor asks about it", async () => {
  const xid = await prepare();
  const { rows } = await fixture.client.query<{ pid: number }>("select pg_backend_pid() as pid");
  // The server restarts all of itself when one of its processes dies so.
  process.kill(rows[0]!.pid, "SIGKILL");
  const next = successor();
  next.inquirer.answer = { kind: "committed", xid };
  next.node.start();
  await eventually("it is committed", () => next.node.view().counts.committed === 1, 20_000);
  await next.node.stop();
  expect(next.inquirer.asked[0]).toEqual({ shard: SHARD, branches: [{ carrierId: "1-1-1", xid }] });
  const session = await fixture.begin();
  const outcome = await session.execute([operation("select value from items where id = 'a'")]);
  expect(outcome).toMatchObject({ results: [{ rows: [{ value: "101" }] }] });
  await session.rollback();
});

/** The participant's wire to the server, in the test's hand. */
async function behindProxy(
  work: (far: PostgresNode, proxy: TcpProxy) => Promise<void>,
): Promise<void> {
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const shard = openShard(throughProxy(fixture.url, proxy));
  try {
    await work(createPostgresNode(shard, "boot-3"), proxy);
  } finally {
    await shard.close();
    await proxy.close();
  }
}

test("a lost answer to COMMIT PREPARED is no answer: the status tells", async () => {
  await behindProxy(async (far, proxy) => {
    // So that there are connections to swallow the answers of.
    await prepare(7, far);
    await far.node.handle(LINK, { kind: "abort", gid: gidOf(7) });
    const xid = await prepare(1, far);
    proxy.swallowAnswers();
    const reply = commit(xid, far);
    await eventually("it is committed", async () => (await fixture.prepared()).length === 0);
    proxy.cut();
    expect(await reply).toMatchObject({ kind: "retry" });
    proxy.mend();
    expect(await commit(xid, far)).toEqual({ kind: "committed", evidence: "transactionStatus" });
  });
});

test("a lost answer to PREPARE is a no, and the branch is rolled back", async () => {
  await behindProxy(async (far, proxy) => {
    await prepare(7, far);
    await far.node.handle(LINK, { kind: "abort", gid: gidOf(7) });
    proxy.swallowAnswers();
    const vote = far.execute(1, [operation(ADD, 1, "a")]);
    await eventually("it is prepared", async () => (await fixture.prepared()).length === 1);
    proxy.cut();
    proxy.mend();
    expect(await vote).toMatchObject({ kind: "no", refusal: { code: "shard-unavailable" } });
    await eventually("it is rolled back", async () => (await fixture.prepared()).length === 0);
    await eventually("both are counted", () => far.node.view().counts.aborted === 2);
  });
});
