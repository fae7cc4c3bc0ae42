/**
 * What every implementation of the shard port must say about who waits for whom. Apart from shard-contract.ts, because it
 * takes two programs on one database.
 */
import type { LockWait, Shard, ShardSession } from "../../participant/shard/shard.ts";
import { eventually } from "../support/wait.ts";
import { ADD, type ContractShard, gid, operation, PREPARE_DEADLINE_MS } from "./shard-contract.ts";

export interface SharedDatabase extends ContractShard {
  /** The same database as another program sees it: its sessions are foreign to `shard`. */
  readonly other: Shard;
}

let open: SharedDatabase;

const begin = (timeoutMs = 5_000, shard = open.shard): Promise<ShardSession> =>
  shard.begin({ isolation: "read committed", timeoutMs });

/** Holds item `a` under the gid "1". */
async function prepare(): Promise<void> {
  const session = await begin();
  await session.executeAndPrepare([operation(ADD, 1, "a")], gid("1"), PREPARE_DEADLINE_MS);
}

/** Begins to wait, and resolves when so many waits are there to be seen. */
async function seen(waits: number): Promise<readonly LockWait[]> {
  let last: readonly LockWait[] = [];
  await eventually(`${waits} waits are seen`, async () => {
    last = await open.shard.lockWaits(0);
    return last.length === waits;
  });
  return last;
}

const held = (session: ShardSession): LockWait["holder"] => ({ kind: "session", session });

export function testLockWaitsContract(create: () => Promise<SharedDatabase>): void {
  beforeEach(async () => {
    open = await create();
  });
  afterEach(async () => {
    await open.close();
  });
  testHolders();
  testLooks();
}

function testHolders(): void {
  test("a session waits for the one that holds the row, and for nobody when it has the row", async () => {
    const [first, second] = [await begin(), await begin()];
    await first.execute([operation(ADD, 1, "a")]);
    expect(await open.shard.lockWaits(0)).toEqual([]);
    const waiting = second.execute([operation(ADD, 1, "a")]);
    const [wait] = await seen(1);
    expect(wait).toMatchObject({ waiter: second, holder: held(first) });
    expect(wait?.waiter).toBe(second);
    await first.rollback();
    await waiting;
    expect(await open.shard.lockWaits(0)).toEqual([]);
    await second.rollback();
  });

  test("who comes later waits for the holder and for those before", async () => {
    const [first, second, third] = [await begin(), await begin(), await begin()];
    await first.execute([operation(ADD, 1, "a")]);
    const waiting = [second.execute([operation(ADD, 1, "a")])];
    await seen(1);
    waiting.push(third.execute([operation(ADD, 1, "a")]));
    await eventually("the third waits", async () =>
      (await open.shard.lockWaits(0)).some(({ waiter }) => waiter === third),
    );
    const holders = (await open.shard.lockWaits(0)).map(({ waiter, holder }) => {
      const index = [first, second, third].indexOf(waiter);
      return `${index} ${holder.kind === "session" ? [first, second].indexOf(holder.session) : ""}`;
    });
    expect(holders).toContain("1 0");
    expect(holders).toContain("2 1");
    await first.rollback();
    await waiting[0];
    await second.rollback();
    await waiting[1];
    await third.rollback();
  });

  test("a prepared branch is waited for under its gid", async () => {
    await prepare();
    const session = await begin();
    const waiting = session.execute([operation(ADD, 1, "a")]);
    const [wait] = await seen(1);
    expect(wait).toMatchObject({ waiter: session, holder: { kind: "prepared", gid: gid("1") } });
    await open.shard.commitPrepared(gid("1"));
    await waiting;
    await session.rollback();
  });
}

function testLooks(): void {
  test("sessions of others are stepped over", async () => {
    await prepare();
    const foreign = await begin(5_000, open.other);
    await foreign.execute([operation(ADD, 1, "b")]);
    const between = foreign.execute([operation(ADD, 1, "a")]);
    const session = await begin();
    const waiting = session.execute([operation(ADD, 1, "b")]);
    const [wait] = await seen(1);
    expect(wait).toMatchObject({ waiter: session, holder: { kind: "prepared", gid: gid("1") } });
    await open.shard.rollbackPrepared(gid("1"));
    await between;
    expect(await seen(0)).toEqual([]);
    await foreign.rollback();
    await waiting;
    await session.rollback();
  });

  test("the evidence stays the same while the wait lasts, and is another for the next", async () => {
    const [first, second] = [await begin(), await begin()];
    await first.execute([operation(ADD, 1, "a"), operation(ADD, 1, "b")]);
    const inA = second.execute([operation(ADD, 1, "a")]);
    const [before] = await seen(1);
    expect((await open.shard.lockWaits(0))[0]?.evidence).toBe(before?.evidence);
    second.interrupt();
    expect(await inA).toMatchObject({ kind: "failed" });
    await second.rollback();
    const third = await begin();
    const inB = third.execute([operation(ADD, 1, "b")]);
    const [after] = await seen(1);
    expect(after?.evidence).not.toBe(before?.evidence);
    await first.rollback();
    await inB;
    await third.rollback();
  });

  test("while nothing runs for long enough, no waits are looked for", async () => {
    await prepare();
    const session = await begin(10_000);
    const waiting = session.execute([operation(ADD, 1, "a")]);
    await seen(1);
    expect(await open.shard.lockWaits(5_000)).toEqual([]);
    await open.shard.rollbackPrepared(gid("1"));
    await waiting;
    await session.rollback();
  });
}
