/** Ids that were mistyped are told from ids that were given: for certain where one keystroke went wrong. */
import fc from "fast-check";
import { readTransactionId, withCheck, withoutCheck } from "../../shared/model/id-check.ts";
import {
  ballot,
  nodeId,
  onePhaseTransactionId,
  SHARD_ID_PATTERN,
  shardId,
  transactionId,
  type TransactionId,
} from "../../shared/model/ids.ts";

/** What an id is made of, and what else a keyboard has. */
const KEYS = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));

const bareIds = fc
  .record({
    round: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 2 ** 42 })),
    node: fc.integer({ min: 1, max: 1023 }),
    sequence: fc.oneof(fc.nat({ max: 40 }), fc.maxSafeNat()),
    tail: fc.oneof(
      ...[9, 21].map((length) => fc.stringMatching(new RegExp(`^[0-9a-z]{${length}}$`))),
    ),
    // The longest but one leaves a tail of the other length when its dot becomes a character.
    shard: fc.option(
      fc.oneof(
        fc.constantFrom("s1", "a-b.c-d", "S1", "elevenchars", "twelve-chars", "twelvechars1"),
        fc.stringMatching(SHARD_ID_PATTERN),
      ),
    ),
  })
  .map(({ round, node, sequence, tail, shard }): TransactionId => {
    const of = ballot(round, nodeId(node));
    return shard === null
      ? transactionId(of, sequence, tail)
      : onePhaseTransactionId(of, sequence, tail, shardId(shard));
  });

function* slips(id: string): Iterable<readonly [what: string, text: string]> {
  for (let at = 0; at < id.length; at += 1) {
    const [before, here, next, after] = [id.slice(0, at), id[at]!, id[at + 1], id.slice(at + 2)];
    yield ["missing", before + id.slice(at + 1)];
    if (next !== undefined && next !== here) yield ["swapped", before + next + here + after];
    for (const key of KEYS) {
      yield ["one too many", before + key + id.slice(at)];
      if (key !== here) yield ["wrong", before + key + id.slice(at + 1)];
    }
  }
  for (const key of KEYS) yield ["one too many", id + key];
}

test("an id that was given is read as it is, and its check comes off again", () => {
  fc.assert(
    fc.property(bareIds, (bare) => {
      const id = withCheck(bare);
      expect(id).toHaveLength(bare.length + 3);
      expect(readTransactionId(id)).toBe(id);
      expect(withoutCheck(id)).toBe(bare);
      expect(readTransactionId(bare)).toBeUndefined();
    }),
  );
});

test("one character wrong, missing, too many or swapped with the next is noticed wherever it is", () => {
  fc.assert(
    fc.property(bareIds, (bare) => {
      const unseen = [...slips(withCheck(bare))].filter(([, text]) => withoutCheck(text));
      expect(unseen).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

test("an id without its shard is noticed, and one with a shard that is not its own", () => {
  fc.assert(
    fc.property(bareIds, fc.stringMatching(SHARD_ID_PATTERN), (bare, shard) => {
      const id = withCheck(bare);
      const [head = ""] = id.split(".", 1);
      const changed = head === id ? `${id}.${shard}` : head;
      expect(readTransactionId(changed)).toBeUndefined();
    }),
  );
});

test("of other ids, made up as they may be, one in thousands passes", () => {
  const id = withCheck(transactionId(ballot(3, nodeId(2)), 77, "k3j9x2m4q"));
  const passed = Array.from({ length: 40_000 }, (_, sequence) =>
    readTransactionId(id.replace("-25-", `-${sequence.toString(36)}-`)),
  ).filter((read) => read !== undefined && read !== id);
  expect(passed.length).toBeLessThan(15);
});

test.each(["", "1", "1-1-1", "begin", "1-1-1-", ".s1", "../1-1-1-abcdefghi", "1-1-1-ABCDEFGHIJKL"])(
  '"%s" is no id',
  (text) => {
    expect(readTransactionId(text)).toBeUndefined();
  },
);
