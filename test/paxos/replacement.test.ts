/** Why a lost node is replaced by its survivors first: which quorums of the old and of the new group meet. */
import { majority } from "../../coordinator/paxos/recover.ts";

function quorumsOf(members: readonly number[], size: number): readonly (readonly number[])[] {
  const [first, ...rest] = members;
  if (size === 0) return [[]];
  if (first === undefined) return [];
  const withFirst = quorumsOf(rest, size - 1).map((others) => [first, ...others]);
  return [...withFirst, ...quorumsOf(rest, size)];
}

const meet = (left: readonly number[], right: readonly number[]): boolean =>
  left.some((node) => right.includes(node));

describe.each([
  { size: 3, lost: 1 },
  { size: 5, lost: 1 },
  { size: 5, lost: 2 },
])("a group of $size that replaces $lost", ({ size, lost }) => {
  const old = Array.from({ length: size }, (_none, index) => index + 1);
  const survivors = old.slice(0, size - lost);
  const fresh = Array.from({ length: lost }, (_none, index) => size + 1 + index);
  const before = quorumsOf(old, majority(size));
  const after = quorumsOf([...survivors, ...fresh], majority(size));

  test("every quorum of survivors alone meets whatever the old group chose, where it is left", () => {
    const alone = after.filter((quorum) => !meet(quorum, fresh));
    expect(alone.length).toBeGreaterThan(0);
    for (const quorum of alone) {
      for (const voters of before) {
        const left = voters.filter((node) => survivors.includes(node));
        expect([quorum, voters, meet(quorum, left)]).toEqual([quorum, voters, true]);
      }
    }
  });

  test("a quorum with the new node may know nothing of it", () => {
    const blind = after.filter((quorum) => before.some((voters) => !meet(quorum, voters)));
    expect(blind.length).toBeGreaterThan(0);
    expect(blind.every((quorum) => meet(quorum, fresh))).toBe(true);
  });

  test("once every survivor holds it, every quorum of the new group does", () => {
    expect(after.every((quorum) => meet(quorum, survivors))).toBe(true);
  });
});
