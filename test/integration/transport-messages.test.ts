import type { PeerMessage } from "../../coordinator/paxos/message.ts";
import { parsePeerMessage } from "../../coordinator/transport/peer-message.ts";
import { ballot, nodeId, slot, type Ballot } from "../../shared/model/ids.ts";
import { pack, unpack } from "../../shared/runtime/channel-frame.ts";

const leader = nodeId(2);
const own = ballot(3, leader);
const value = Uint8Array.from([1, 2, 3]);

/** One of each, so that a new kind of message without a check does not compile. */
const MESSAGES: {
  readonly [Kind in PeerMessage["kind"]]: PeerMessage & { readonly kind: Kind };
} = {
  probe: { kind: "probe", attempt: 1 },
  probeReply: { kind: "probeReply", attempt: 1, granted: true, promised: own },
  phase1a: { kind: "phase1a", ballot: own, fromSlot: slot(1) },
  phase1b: {
    kind: "phase1b",
    ballot: own,
    fromSlot: slot(1),
    nextSlot: slot(4),
    slots: [
      { kind: "accepted", slot: slot(1), ballot: own, value },
      { kind: "chosen", slot: slot(2), value: new Uint8Array(0) },
    ],
    truncatedUpTo: slot(0),
  },
  phase2a: { kind: "phase2a", ballot: own, slot: slot(5), value, chosenUpTo: slot(4) },
  phase2b: { kind: "phase2b", ballot: own, slot: slot(5) },
  nack: { kind: "nack", ballot: own, promised: own },
  heartbeat: { kind: "heartbeat", ballot: own, beat: 7, chosenUpTo: slot(4) },
  heartbeatReply: { kind: "heartbeatReply", ballot: own, beat: 7 },
  learnRequest: { kind: "learnRequest", fromSlot: slot(1) },
  learnReply: { kind: "learnReply", slots: [{ slot: slot(1), value }], chosenUpTo: slot(1) },
  snapshotOffer: { kind: "snapshotOffer", slot: slot(3), chosenUpTo: slot(4) },
  snapshotRequest: { kind: "snapshotRequest", slot: slot(3), chunk: 0 },
  snapshotChunk: { kind: "snapshotChunk", slot: slot(3), chunk: 0, bytes: value, wholeCrc: 17 },
  snapshotGone: { kind: "snapshotGone", slot: slot(3) },
};
const all = Object.values(MESSAGES);

const travelled = (body: unknown): unknown => unpack(pack(body));

test.each(all)("$kind survives the wire and its check", (message) => {
  const read = parsePeerMessage(travelled(message), leader);
  expect(JSON.stringify(read)).toBe(JSON.stringify(travelled(message)));
  expect(read?.kind).toBe(message.kind);
});

test("a value arrives as its bytes", () => {
  const read = parsePeerMessage(travelled(MESSAGES.phase2a), leader);
  expect(read?.kind === "phase2a" && Buffer.compare(read.value, value)).toBe(0);
});

test("a chunk arrives as its bytes, and only the last one has the checksum of the whole", () => {
  const early = { ...MESSAGES.snapshotChunk, wholeCrc: null };
  const read = parsePeerMessage(travelled(early), leader);
  expect(read).toMatchObject({ wholeCrc: null });
  expect(read?.kind === "snapshotChunk" && Buffer.compare(read.bytes, value)).toBe(0);
});

test("the last page of promises names no next slot", () => {
  const last = { ...MESSAGES.phase1b, nextSlot: null };
  expect(parsePeerMessage(travelled(last), leader)).toMatchObject({ nextSlot: null });
});

/** Every field of every message, broken in every way that a peer of another build might break it. */
const BROKEN: readonly unknown[] = [undefined, null, "1", -1, 1.5, 2 ** 60, NaN, {}, [null]];

test.each(all)("$kind is refused when any of its fields is broken", (message) => {
  for (const field of Object.keys(message)) {
    for (const broken of BROKEN) {
      if ((field === "nextSlot" || field === "wholeCrc") && broken === null) continue;
      const result = parsePeerMessage({ ...message, [field]: broken }, leader);
      expect([field, broken, result]).toEqual([field, broken, undefined]);
    }
  }
});

const pageOf = (slot: unknown): unknown => ({ ...MESSAGES.phase1b, slots: [slot] });

test.each([
  ["no object", 1],
  ["null", null],
  ["an unknown kind", { kind: "rumoured", slot: 1, ballot: own, value }],
  ["no kind", { slot: 1, ballot: own, value }],
  ["accepted without a ballot", { kind: "accepted", slot: 1, value }],
  ["a value that is text", { kind: "chosen", slot: 1, value: "text" }],
  ["a value that is an array", { kind: "chosen", slot: 1, value: [1, 2] }],
])("a page with a slot that is %s is refused", (_, slot) => {
  expect(parsePeerMessage(pageOf(slot), leader)).toBeUndefined();
});

test.each([
  undefined,
  null,
  1,
  "probe",
  [],
  {},
  { kind: 1 },
  { kind: "unknown" },
  { kind: "toString" },
])("%p is no message", (body) => {
  expect(parsePeerMessage(body, leader)).toBeUndefined();
});

test.each([MESSAGES.phase1a, MESSAGES.phase2a, MESSAGES.heartbeat])(
  "$kind under a ballot of another node is refused: nobody proposes for others",
  (message) => {
    expect(parsePeerMessage(message, nodeId(3))).toBeUndefined();
    expect(parsePeerMessage({ ...message, ballot: 0 as Ballot }, leader)).toBeUndefined();
  },
);

test("answers name the ballot of whom they answer", () => {
  expect(parsePeerMessage(MESSAGES.phase2b, nodeId(3))).toEqual(MESSAGES.phase2b);
  expect(parsePeerMessage({ ...MESSAGES.phase1b, slots: [] }, nodeId(1))).toBeDefined();
});
