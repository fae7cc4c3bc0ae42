/** The codec of replicated commands. */
import fc from "fast-check";
import { ballot, carrierId, nodeId, transactionId } from "../../shared/model/ids.ts";
import { NO_OP } from "../../coordinator/paxos/message.ts";
import type { Command } from "../../coordinator/transactions/command.ts";
import { decodeBatch, encodeBatch, encodeCommand } from "../../coordinator/transactions/command.ts";

const B = ballot(3, nodeId(2));

const anyRow = fc.dictionary(
  fc.string().filter((name) => name !== "__proto__"),
  fc.oneof(fc.string({ unit: "binary" }), fc.boolean(), fc.constant(null), fc.integer()),
);
const anyResult = fc.record({ rowCount: fc.nat(), rows: fc.array(anyRow, { maxLength: 3 }) });
const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ kind: fc.constant("barrier" as const), ballot: fc.constant(B), atMs: fc.nat() }),
  fc.record({
    kind: fc.constant("complete" as const),
    carrierIds: fc.array(fc.nat().map((sequence) => carrierId(B, sequence))),
    atMs: fc.nat(),
  }),
  fc.record({
    kind: fc.constant("commit" as const),
    carrierId: fc.nat().map((sequence) => carrierId(B, sequence)),
    ballot: fc.constant(B),
    branches: fc.array(
      fc.record({
        shard: fc.string().map((name) => name as never),
        gid: fc.string().map((gid) => gid as never),
        xid: fc.nat().map((xid) => String(xid) as never),
      }),
    ),
    members: fc.array(
      fc.record({
        transactionId: fc.nat().map((sequence) => transactionId(B, sequence, "tailtail")),
        idempotency: fc.option(
          fc.record({ key: fc.string({ unit: "binary" }), fingerprint: fc.string() }),
        ),
        results: fc.option(fc.array(anyResult, { maxLength: 3 })),
      }),
      { maxLength: 3 },
    ),
    atMs: fc.nat(),
  }),
);

test("a batch comes back as it went in, whatever characters clients put into keys and rows", () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 5 }), (commands) => {
      const decoded = decodeBatch(encodeBatch(commands.map(encodeCommand)));
      expect(decoded).toEqual(JSON.parse(JSON.stringify(commands)));
      expect(decoded.map(({ kind }) => kind)).toEqual(commands.map(({ kind }) => kind));
    }),
  );
});

test("a no-op holds no command", () => {
  expect(decodeBatch(NO_OP)).toEqual([]);
});

test.each(["[", "{}", '[{"kind":"abort"}]', "[null]", '["barrier"]'])(
  "bytes that are no batch are refused, not skipped: %s",
  (bytes) => {
    expect(() => decodeBatch(new TextEncoder().encode(bytes))).toThrow();
  },
);
