/** Whose log a directory holds, and when a missing one may be made. */
import { LogIdentityMismatch } from "../../coordinator/log/log-store.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import { accepted, described, IDENTITY } from "./records.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import {
  DIRECTORY,
  IDENTITY_PATH,
  logOn,
  openedOn,
  recordsOn,
  segmentPath,
  writtenThenKilled,
} from "./wal-fixture.ts";

test("identity.json names cluster, node and storage", async () => {
  const disk = new SimulatedDisk();
  const log = logOn(disk);
  const { storageId } = await log.open();
  const text = new TextDecoder().decode(disk.read(IDENTITY_PATH));
  expect(JSON.parse(text)).toEqual({ ...IDENTITY, storageId });
});

test("two logs have different storage ids", async () => {
  const ids = [];
  for (let count = 0; count < 3; count += 1) {
    ids.push((await logOn(new SimulatedDisk()).open()).storageId);
  }
  expect(new Set(ids).size).toBe(3);
});

test("the order of an identity's fields does not matter, nor what else it carries", async () => {
  const disk = new SimulatedDisk();
  const { clusterId, nodeId } = IDENTITY;
  const identity = { nodeId, address: "localhost", clusterId };
  const log = logOn(disk, { identity });
  await log.open();
  await log.append([accepted(1)]);
  await log.close();
  expect(described(await recordsOn(disk))).toBe(described([accepted(1)]));
});

test("a log without its identity is refused", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [[accepted(1)]]);
  disk.delete(IDENTITY_PATH);
  await expect(logOn(disk).open()).rejects.toThrow(LogIdentityMismatch);
  expect(disk.exists(segmentPath(1))).toBe(true);
});

test("a segment that never was the first is not taken for a creation that was cut short", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [[accepted(1, 12_000)]]);
  await writtenThenKilled(disk, []);
  disk.delete(IDENTITY_PATH);
  disk.delete(segmentPath(1));
  await expect(logOn(disk).open()).rejects.toThrow(LogIdentityMismatch);
});

test("where the group knows the node, a missing log is refused with instructions", async () => {
  const disk = new SimulatedDisk();
  const log = logOn(disk, { expectExisting: true });
  const error: unknown = await log.open().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(LogIdentityMismatch);
  expect(String(error)).toContain("new node id");
  expect(disk.exists(IDENTITY_PATH)).toBe(false);
});

test("where the group knows the node, its log opens", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [[accepted(1)]]);
  const log = logOn(disk, { expectExisting: true });
  expect(described((await log.open()).records)).toBe(described([accepted(1)]));
});

test("the mismatch names both nodes", async () => {
  const disk = new SimulatedDisk();
  await writtenThenKilled(disk, [[accepted(1)]]);
  const other = logOn(disk, { identity: { ...IDENTITY, nodeId: 7 as NodeId } });
  await expect(other.open()).rejects.toThrow(
    `${DIRECTORY} belongs to node 1 of cluster test, not to node 7 of cluster test`,
  );
});

test("a log is opened once, and takes records only then", async () => {
  const disk = new SimulatedDisk();
  expect(() => logOn(disk).append([accepted(1)])).toThrow("only an open log takes records");
  const log = await openedOn(disk);
  await expect(log.open()).rejects.toThrow("a log is opened once");
});
