import fc from "fast-check";
import {
  joinFrames,
  pack,
  packPart,
  readFrame,
  unpack,
  type Part,
} from "../../shared/runtime/channel-frame.ts";

const body = fc
  .jsonValue({ maxDepth: 4 })
  .filter((value) => !JSON.stringify(value).includes("__proto__"));
const part: fc.Arbitrary<Part> = fc.oneof(
  fc.record({ kind: fc.constant("message" as const), body }),
  fc.record({ kind: fc.constantFrom("request" as const, "reply" as const), id: fc.nat(), body }),
  fc.record({ kind: fc.constant("failure" as const), id: fc.nat(), sentence: fc.string() }),
);

/** msgpack has no negative zero among its integers; nobody here sends one. */
const withoutNegativeZero = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, inner: unknown) => (Object.is(inner, -0) ? 0 : inner)));

test("what is joined into frames comes back in order, whatever the frames' limit", () => {
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 20 }),
      fc.integer({ min: 5, max: 400 }),
      (parts, limit) => {
        const packed = parts.map((each) => packPart(each));
        const frames = joinFrames(packed, limit);
        const read = frames.flatMap((frame) => readFrame(frame) ?? []);
        expect(withoutNegativeZero(read)).toEqual(withoutNegativeZero(parts));
        const largest = Math.max(0, ...packed.map(({ length }) => length));
        for (const frame of frames) {
          expect(frame.length).toBeLessThanOrEqual(Math.max(limit, largest + 5));
        }
      },
    ),
  );
});

test("parts that fit together leave as one frame", () => {
  const parts = Array.from({ length: 1_000 }, (_, id) => packPart({ kind: "reply", id, body: id }));
  expect(joinFrames(parts, 1024 * 1024)).toHaveLength(1);
  expect(joinFrames([], 1024)).toHaveLength(0);
});

test("bytes stay bytes, and do not share the receive buffer", () => {
  const value = Uint8Array.from({ length: 300 }, (_, index) => index % 256);
  const [frame] = joinFrames(
    [packPart({ kind: "message", body: { value, empty: value.slice(0, 0) } })],
    4096,
  );
  const [read] = readFrame(frame!)!;
  const received = (read as { body: { value: Uint8Array; empty: Uint8Array } }).body;
  expect(received.value).toBeInstanceOf(Uint8Array);
  expect(received.value.buffer).not.toBe(frame!.buffer);
  expect(Buffer.compare(received.value, value)).toBe(0);
  expect(received.empty).toHaveLength(0);
  frame!.fill(0);
  expect(Buffer.compare(received.value, value)).toBe(0);
});

test("integers up to 2^53 - 1, fractions, null and undefined fields travel exactly", () => {
  const sent = {
    most: Number.MAX_SAFE_INTEGER,
    least: -1 * Number.MAX_SAFE_INTEGER,
    half: 0.1,
    none: null,
  };
  expect(unpack(pack(sent))).toEqual(sent);
  const read = unpack(pack({ gone: undefined, here: 1 })) as Record<string, unknown>;
  expect(read["gone"]).toBeUndefined();
  expect(read["here"]).toBe(1);
});

test("a key that would change an object's prototype does not", () => {
  const read = unpack(pack(JSON.parse('{"__proto__":{"polluted":true}}'))) as {
    polluted?: boolean;
  };
  expect(read.polluted).toBeUndefined();
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

test.each([
  ["bytes that are no msgpack", Buffer.from([0xc1])],
  ["a frame that ends early", pack([[0, "message"]]).subarray(0, 6)],
  ["an array that claims more than it holds", Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff, 0x01])],
  ["nesting that is deeper than any stack", Buffer.alloc(500_000, 0x91)],
  ["no array", pack({ kind: "message" })],
  ["a part that is no array", pack(["message"])],
  ["an unknown kind", pack([[4, 1, "body"]])],
  ["a kind that is no number", pack([["0", "body"]])],
  ["a request without a number", pack([[1, "first", "body"]])],
  ["a failure without a sentence", pack([[3, 1, { text: "no" }]])],
])("%s is no frame", (_, bytes) => {
  expect(readFrame(bytes)).toBeUndefined();
});

test("any bytes at all either are a frame or are not, without an error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      readFrame(Buffer.from(bytes));
    }),
  );
});
