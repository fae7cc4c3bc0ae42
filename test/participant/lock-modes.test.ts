import { modesConflict } from "../../participant/shard/lock-modes.ts";

test("a row's writer and the one that waits for it conflict", () => {
  expect(modesConflict("ShareLock", "ExclusiveLock")).toBe(true);
});

test("statements that only read are in the way of nothing but the strongest lock", () => {
  expect(modesConflict("AccessExclusiveLock", "AccessShareLock")).toBe(true);
  expect(modesConflict("ExclusiveLock", "AccessShareLock")).toBe(false);
});

test("two that write into one table do not wait for each other's lock on it", () => {
  expect(modesConflict("RowExclusiveLock", "RowExclusiveLock")).toBe(false);
});

test("a predicate lock is in nobody's way", () => {
  expect(modesConflict("AccessExclusiveLock", "SIReadLock")).toBe(false);
});

test("conflict goes both ways", () => {
  const modes = [
    ...["AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"],
    ...["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"],
  ];
  for (const one of modes) {
    for (const other of modes) expect(modesConflict(one, other)).toBe(modesConflict(other, one));
  }
});
