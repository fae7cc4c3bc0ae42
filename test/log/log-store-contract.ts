/** What every LogStore promises (log-store.ts), as test cases for each adapter. */
import {
  LogFailure,
  LogIdentityMismatch,
  LogInUse,
  type LogIdentity,
  type LogStore,
} from "../../coordinator/log/log-store.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import { nodeId, slot, type ClusterId } from "../../shared/model/ids.ts";
import { accepted, acceptedRange, BALLOT, IDENTITY, promised } from "./records.ts";

/** One disk; every `create` is the log of another process on it. */
export interface LogWorld {
  create(identity?: LogIdentity): LogStore;
  dispose(): void;
}

/** Told by the sentence that is its key. */
export type LogStoreCase = (world: LogWorld) => Promise<void>;

export async function reopened(world: LogWorld): Promise<readonly DurableRecord[]> {
  const log = world.create();
  const { records } = await log.open();
  await log.close();
  return records;
}

export async function opened(world: LogWorld): Promise<LogStore> {
  const log = world.create();
  await log.open();
  return log;
}

export const LOG_STORE_CASES: Readonly<Record<string, LogStoreCase>> = {
  "a new log is empty": async (world) => {
    const log = world.create();
    const contents = await log.open();
    expect(contents).toMatchObject({ records: [], created: true });
    expect(contents.storageId).not.toBe("");
    await log.close();
  },

  "a log is created once and keeps its storage id": async (world) => {
    const first = world.create();
    const { storageId } = await first.open();
    await first.close();
    for (const restart of [1, 2]) {
      const log = world.create();
      const contents = await log.open();
      expect({ restart, ...contents }).toMatchObject({ restart, storageId, created: false });
      await log.close();
    }
  },

  "acknowledged records of every kind come back in order": async (world) => {
    const records: readonly DurableRecord[] = [
      promised(2),
      { kind: "accepted", ballot: BALLOT, slot: slot(1), value: new Uint8Array([1, 2, 3]) },
      { kind: "accepted", ballot: BALLOT, slot: slot(2), value: new Uint8Array(0) },
      { kind: "learned", slot: slot(3), value: new Uint8Array([255]) },
      { kind: "chosenUpTo", slot: slot(3) },
      { kind: "promised", ballot: (Number.MAX_SAFE_INTEGER - 1) as typeof BALLOT },
    ];
    const log = await opened(world);
    for (const record of records) await log.append([record]);
    await log.close();
    expect(await reopened(world)).toEqual(records);
  },

  "records of several lives come back in order, none twice": async (world) => {
    for (let life = 0; life < 4; life += 1) {
      const log = world.create();
      expect((await log.open()).records).toEqual(acceptedRange(1, life * 3));
      await log.append([accepted(life * 3 + 1), accepted(life * 3 + 2)]);
      await log.append([accepted(life * 3 + 3)]);
      await log.close();
    }
    expect(await reopened(world)).toEqual(acceptedRange(1, 12));
  },

  "concurrent appends are acknowledged and kept in call order": async (world) => {
    const log = await opened(world);
    const records = acceptedRange(1, 200);
    const acknowledged: number[] = [];
    await Promise.all(
      records.map((record, index) =>
        log.append([record]).then(() => {
          acknowledged.push(index);
        }),
      ),
    );
    expect(acknowledged).toEqual(records.map((_, index) => index));
    await log.close();
    expect(await reopened(world)).toEqual(records);
  },

  "an empty append resolves after everything before it": async (world) => {
    const log = await opened(world);
    const order: string[] = [];
    const note = (what: string) => () => {
      order.push(what);
    };
    const before = log.append([accepted(1)]).then(note("before"));
    const empty = log.append([]).then(note("empty"));
    await Promise.all([before, empty]);
    expect(order).toEqual(["before", "empty"]);
    await log.append([]);
    await log.close();
    expect(await reopened(world)).toEqual([accepted(1)]);
  },

  "close waits for running appends": async (world) => {
    const log = await opened(world);
    const appends = acceptedRange(1, 20).map((record) => log.append([record]));
    await log.close();
    await Promise.all(appends);
    expect(await reopened(world)).toEqual(acceptedRange(1, 20));
  },

  "append after close rejects": async (world) => {
    const log = await opened(world);
    await log.append([accepted(1)]);
    await log.close();
    await expect(log.append([accepted(2)])).rejects.toThrow(LogFailure);
    await expect(log.append([])).rejects.toThrow(LogFailure);
    expect(await reopened(world)).toEqual([accepted(1)]);
  },

  "an append during close is kept or rejected, never lost": async (world) => {
    const log = await opened(world);
    const kept: DurableRecord[] = [];
    const appendOn = async (at: number): Promise<void> => {
      const record = accepted(at);
      await log.append([record]);
      kept.push(record);
      await appendOn(at + 1);
    };
    const appending = appendOn(1).catch((error: unknown) => error);
    while (kept.length < 3) await log.append([]);
    await log.close();
    expect(await appending).toBeInstanceOf(LogFailure);
    expect(await reopened(world)).toEqual(kept);
  },

  "close can be called twice": async (world) => {
    const log = await opened(world);
    await log.append([accepted(1)]);
    await Promise.all([log.close(), log.close()]);
    await log.close();
    expect(await reopened(world)).toEqual([accepted(1)]);
  },

  "a second owner is refused while the first has the log open": async (world) => {
    const first = await opened(world);
    await expect(world.create().open()).rejects.toThrow(LogInUse);
    await first.append([accepted(1)]);
    await first.close();
    expect(await reopened(world)).toEqual([accepted(1)]);
  },

  "another node's or another cluster's log is refused": async (world) => {
    const first = await opened(world);
    await first.append([accepted(1)]);
    await first.close();
    const others = [
      { ...IDENTITY, nodeId: nodeId(2) },
      { ...IDENTITY, clusterId: "other" as ClusterId },
    ];
    for (const other of others) {
      await expect(world.create(other).open()).rejects.toThrow(LogIdentityMismatch);
    }
    expect(await reopened(world)).toEqual([accepted(1)]);
  },
};
