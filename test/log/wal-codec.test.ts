/** The bytes of batches and segment headers: what is written is read, and nothing else is. */
import fc from "fast-check";
import {
  BATCH_HEADER_BYTES,
  BLOCK_BYTES,
  decodeBatchBody,
  decodeBatchHeader,
  encodeBatch,
  ownerSeal,
  type Batch,
} from "../../coordinator/log/wal/codec.ts";
import { crc32 } from "../../coordinator/log/wal/crc32.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
} from "../../coordinator/log/wal/segment-header.ts";
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import type { Ballot, Slot } from "../../shared/model/ids.ts";

const SEAL = ownerSeal("owner");
const natural = fc.maxSafeNat();
const ballots = natural as fc.Arbitrary<Ballot>;
const slots = natural as fc.Arbitrary<Slot>;
const values = fc.uint8Array({ maxLength: 3000 });

const records: fc.Arbitrary<DurableRecord> = fc.oneof(
  fc.record({ kind: fc.constant("promised"), ballot: ballots }),
  fc.record({ kind: fc.constant("accepted"), ballot: ballots, slot: slots, value: values }),
  fc.record({ kind: fc.constant("learned"), slot: slots, value: values }),
  fc.record({ kind: fc.constant("chosenUpTo"), slot: slots }),
  fc.record({
    kind: fc.constant("snapshot"),
    ...{ slot: slots, truncatedUpTo: slots, promised: ballots },
  }),
);
const batches: fc.Arbitrary<Batch> = fc.record({
  number: natural,
  chain: fc.nat(0xffffffff),
  promised: ballots,
  firstSegment: fc.nat(0xffffffff),
  records: fc.array(records, { maxLength: 12 }),
});

function decoded(bytes: Uint8Array, offset = 0, seal = SEAL): Batch | undefined {
  const header = decodeBatchHeader(bytes, offset, seal);
  if (header === undefined) return undefined;
  const body = decodeBatchBody(bytes, offset, header, seal);
  const { number, chain, promised, firstSegment } = header;
  return body && { number, chain, promised, firstSegment, records: body };
}

test("a batch is read as it was written, wherever it stands", () => {
  fc.assert(
    fc.property(batches, fc.nat(3), (batch, blocks) => {
      const { bytes } = encodeBatch(batch, SEAL);
      expect(bytes.length % BLOCK_BYTES).toBe(0);
      const file = new Uint8Array(blocks * BLOCK_BYTES + bytes.length + BLOCK_BYTES);
      file.set(bytes, blocks * BLOCK_BYTES);
      expect(decoded(file, blocks * BLOCK_BYTES)).toEqual(batch);
    }),
    { numRuns: 60 },
  );
});

test("values are read as copies, which do not keep the file alive", () => {
  const value = new Uint8Array([1, 2, 3]);
  const batch = { number: 1, chain: 0, promised: 0 as Ballot, firstSegment: 1 };
  const { bytes } = encodeBatch(
    { ...batch, records: [{ kind: "learned", slot: 1 as Slot, value }] },
    SEAL,
  );
  const [record] = decoded(Buffer.from(bytes))?.records ?? [];
  if (record?.kind !== "learned") throw new Error("no record");
  expect(record.value.buffer.byteLength).toBe(3);
  expect(record.value.constructor).toBe(Uint8Array);
});

test("a flipped bit in header or body is never read as another batch", () => {
  fc.assert(
    fc.property(batches, fc.nat(), fc.nat(7), (batch, place, bit) => {
      const { bytes } = encodeBatch(batch, SEAL);
      const used = BATCH_HEADER_BYTES + new DataView(bytes.buffer).getUint32(8, true);
      const at = place % used;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      expect(decoded(bytes)).toBeUndefined();
    }),
    { numRuns: 200 },
  );
});

test("a batch cut off anywhere before its padding is not read", () => {
  const value = new Uint8Array(50).fill(7);
  const batch: Batch = {
    ...{ number: 3, chain: 9, promised: 5 as Ballot, firstSegment: 2 },
    records: [{ kind: "accepted", ballot: 5 as Ballot, slot: 1 as Slot, value }],
  };
  const { bytes } = encodeBatch(batch, SEAL);
  const used = BATCH_HEADER_BYTES + 21 + 50;
  for (let length = 0; length < used; length += 1) {
    expect(decoded(bytes.subarray(0, length))).toBeUndefined();
  }
  expect(decoded(bytes.subarray(0, used))).toEqual(batch);
});

test("another owner's batch is not read", () => {
  const { bytes } = encodeBatch(
    { number: 1, chain: 0, promised: 0 as Ballot, firstSegment: 1, records: [] },
    ownerSeal("one"),
  );
  expect(decoded(bytes, 0, ownerSeal("one"))).toBeDefined();
  expect(decoded(bytes, 0, ownerSeal("other"))).toBeUndefined();
});

test("whatever the bytes are, reading them never throws", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(64), (body, count) => {
      const bytes = encodeBatch(
        { number: 1, chain: 0, promised: 0 as Ballot, firstSegment: 1, records: [] },
        SEAL,
      ).bytes;
      // A body of any bytes under a header that vouches for it.
      bytes.set(body, BATCH_HEADER_BYTES);
      const view = new DataView(bytes.buffer);
      view.setUint32(8, body.length, true);
      view.setUint32(12, crc32(body, SEAL), true);
      view.setUint32(16, count, true);
      view.setUint32(4, crc32(bytes.subarray(8, BATCH_HEADER_BYTES), SEAL), true);
      const read = decoded(bytes);
      expect(read?.records.length ?? count).toBe(count);
    }),
  );
});

test("a segment header is read as it was written", () => {
  fc.assert(
    fc.property(
      fc.record({
        segment: fc.nat(0xffffffff),
        firstBatch: natural,
        chain: fc.nat(0xffffffff),
        owner: fc.string({ maxLength: 1000 }),
      }),
      (header) => {
        expect(decodeSegmentHeader(encodeSegmentHeader(header))).toEqual({
          kind: "header",
          ...header,
        });
      },
    ),
    { numRuns: 50 },
  );
});

test("a segment of the format without snapshots is read, one of no format is not", () => {
  const header = { segment: 3, firstBatch: 7, chain: 9, owner: "owner" };
  const ofVersion = (version: number): ReturnType<typeof decodeSegmentHeader> => {
    const block = encodeSegmentHeader(header);
    const view = new DataView(block.buffer);
    view.setUint32(8, version, true);
    view.setUint32(BLOCK_BYTES - 4, crc32(block.subarray(0, BLOCK_BYTES - 4)), true);
    return decodeSegmentHeader(block);
  };
  expect(ofVersion(1)).toEqual({ kind: "header", ...header });
  expect(ofVersion(0)).toEqual({ kind: "otherVersion", version: 0 });
});

test("an owner that does not fit is a programmer's error", () => {
  const header = { segment: 1, firstBatch: 1, chain: 0, owner: "x".repeat(BLOCK_BYTES) };
  expect(() => encodeSegmentHeader(header)).toThrow("an owner fits");
});

test("crc32 agrees with the published check value and goes on where it stopped", () => {
  const text = new TextEncoder().encode("123456789");
  expect(crc32(text)).toBe(0xcbf43926);
  expect(crc32(new Uint8Array(0))).toBe(0);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, split) => {
      const whole = crc32(bytes);
      expect(crc32(bytes.subarray(split), crc32(bytes.subarray(0, split)))).toBe(whole);
      expect(whole).toBe(bitwiseCrc32(bytes));
    }),
  );
});

/** The definition, without tables. */
function bitwiseCrc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
