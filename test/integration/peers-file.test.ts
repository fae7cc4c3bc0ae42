/** What a node remembers of its peers, on disk; and which messages tell how much a peer holds. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { PeerMemory } from "../../coordinator/transport/known-peers.ts";
import {
  PeersFile,
  PeersFileUnreadable,
  peersPath,
} from "../../coordinator/transport/peers-file.ts";
import { afterMessage, isBehind, NOWHERE } from "../../coordinator/transport/position.ts";
import type { PaxosMessage } from "../../coordinator/paxos/message.ts";
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import { TestClock } from "../participant/test-clock.ts";
import { VolatilePeers } from "../support/volatile-peers.ts";
import { eventually } from "../support/wait.ts";

const home = mkdtempSync(join(tmpdir(), "peers-file-"));
const [one, two] = [nodeId(1), nodeId(2)];
const B1 = ballot(1, one);
const B2 = ballot(2, two);
const known = (storageId: string, at: number) => {
  return { storageId, acknowledged: { promised: B1, slot: slot(at) } };
};
let count = 0;
let fatal: unknown[] = [];

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

function freshDirectory(): string {
  count += 1;
  fatal = [];
  return mkdtempSync(join(home, `${count}-`));
}

function fileIn(directory: string, clock = new TestClock()): PeersFile {
  return new PeersFile({ directory, clock, onFatal: (error) => fatal.push(error) });
}

const adapters: readonly (readonly [string, () => () => PeerMemory])[] = [
  [
    "the file",
    () => {
      const directory = freshDirectory();
      return () => fileIn(directory);
    },
  ],
  [
    "its twin",
    () => {
      const memory = new VolatilePeers();
      return () => memory;
    },
  ],
];

test.each(adapters)(
  "%s gives back what was last saved, and nothing where nothing was",
  (_, make) => {
    const open = make();
    expect(open().load().size).toBe(0);
    open().saveNow(new Map([[one, known("a", 1)]]));
    const both = new Map([
      [one, known("a", 2)],
      [two, known("b", 3)],
    ]);
    open().saveNow(both);
    expect(open().load()).toEqual(both);
  },
);

test("what may wait is written a few seconds later, all at once, as it is by then", async () => {
  const directory = freshDirectory();
  const clock = new TestClock();
  const file = fileIn(directory, clock);
  const peers = new Map([[one, known("a", 1)]]);
  file.saveLater(peers);
  peers.set(one, known("a", 2));
  file.saveLater(peers);
  await clock.advance(4_999);
  expect(fileIn(directory).load().size).toBe(0);
  await clock.advance(1);
  await eventually("written", () => fileIn(directory).load().size > 0);
  expect(fileIn(directory).load()).toEqual(peers);
});

test("closing writes what waits", async () => {
  const directory = freshDirectory();
  const file = fileIn(directory);
  file.saveLater(new Map([[one, known("a", 1)]]));
  await file.close();
  expect(fileIn(directory).load().get(one)).toEqual(known("a", 1));
});

test("closing waits for a write under way, and nothing is written afterwards", async () => {
  const directory = freshDirectory();
  const clock = new TestClock();
  const file = fileIn(directory, clock);
  file.saveLater(new Map([[one, known("a", 1)]]));
  await clock.advance(5_000);
  file.saveLater(new Map([[one, known("a", 2)]]));
  await file.close();
  expect(readdirSync(directory)).toEqual([basename(peersPath(directory))]);
  expect(fileIn(directory).load().get(one)).toEqual(known("a", 2));
  await clock.advance(50_000);
  expect(fileIn(directory).load().get(one)).toEqual(known("a", 2));
  expect(fatal).toEqual([]);
});

test("a slow write never replaces what was written after it began", async () => {
  const directory = freshDirectory();
  const clock = new TestClock();
  const file = fileIn(directory, clock);
  const newer = new Map([[one, known("a", 9)]]);
  file.saveLater(new Map([[one, known("a", 1)]]));
  let draftAtThatTime = false;
  // One turn of the event loop after the write has begun, which takes one for each of open, write, sync and close.
  clock.after(5_000, () => {
    file.saveNow(newer);
    draftAtThatTime = existsSync(`${peersPath(directory)}.later`);
  });
  await clock.advance(5_000);
  expect(draftAtThatTime).toBe(true);
  await eventually("the slow one ends", () => !existsSync(`${peersPath(directory)}.later`));
  expect(fileIn(directory).load()).toEqual(newer);
  expect(fatal).toEqual([]);
});

test("a disk that fails later is fatal", async () => {
  const directory = freshDirectory();
  const clock = new TestClock();
  const file = fileIn(directory, clock);
  rmSync(directory, { recursive: true });
  file.saveLater(new Map([[one, known("a", 1)]]));
  await clock.advance(5_000);
  await eventually("told", () => fatal.length > 0);
  expect(String(fatal[0])).toContain("ENOENT");
});

test("a file of the first version, which had no checksum, is read and replaced", () => {
  const directory = freshDirectory();
  const peer = { node: 1, storageId: "a", bootId: "b", promised: B1, slot: 4 };
  writeFileSync(peersPath(directory), JSON.stringify({ version: 1, peers: [peer] }));
  const file = fileIn(directory);
  expect(file.load()).toEqual(new Map([[one, known("a", 4)]]));
  file.saveNow(file.load());
  expect(readFileSync(peersPath(directory), "utf8")).toContain('"version":2');
  expect(fileIn(directory).load()).toEqual(new Map([[one, known("a", 4)]]));
});

test("no bit of the file may flip unnoticed", () => {
  const directory = freshDirectory();
  const file = fileIn(directory);
  const peers = new Map([
    [one, known("a", 4)],
    [two, known("b", 70)],
  ]);
  file.saveNow(peers);
  const bytes = readFileSync(peersPath(directory));
  for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(peersPath(directory), damaged);
    expect(() => file.load()).toThrow(PeersFileUnreadable);
  }
});

test("the file is made with the log, and not again for one that was used", () => {
  const directory = freshDirectory();
  const file = fileIn(directory);
  expect(() => {
    file.begin(true);
  }).toThrow(`${peersPath(directory)} is missing`);
  file.begin(false);
  expect([file.exists, file.load().size]).toEqual([true, 0]);
  file.saveNow(new Map([[one, known("a", 4)]]));
  file.begin(true);
  expect(file.load().size).toBe(1);
});

test.each([
  ["no JSON", "{"],
  ["another version", '{"version":3,"crc":0,"peers":[]}'],
  [
    "an entry without a disk",
    '{"version":1,"peers":[{"node":1,"storageId":"","bootId":"b","promised":1,"slot":1}]}',
  ],
])("%s is not taken for an empty memory", (_, text) => {
  const directory = freshDirectory();
  writeFileSync(peersPath(directory), text);
  expect(() => fileIn(directory).load()).toThrow(PeersFileUnreadable);
});

const page = { fromSlot: slot(1), nextSlot: null, slots: [] };
const messages: readonly (readonly [PaxosMessage, typeof NOWHERE])[] = [
  [
    { kind: "phase1a", ballot: B2, fromSlot: slot(9) },
    { promised: B2, slot: slot(5) },
  ],
  [
    { kind: "phase1b", ballot: B2, truncatedUpTo: slot(0), ...page },
    { promised: B2, slot: slot(5) },
  ],
  [
    { kind: "phase2b", ballot: B2, slot: slot(4) },
    { promised: B2, slot: slot(5) },
  ],
  [
    { kind: "phase2b", ballot: B1, slot: slot(6) },
    { promised: B1, slot: slot(6) },
  ],
  [
    { kind: "heartbeat", ballot: B2, beat: 1, chosenUpTo: slot(9) },
    { promised: B1, slot: slot(5) },
  ],
  [
    { kind: "heartbeatReply", ballot: B2, beat: 1 },
    { promised: B1, slot: slot(5) },
  ],
  [
    { kind: "probeReply", attempt: 1, granted: true, promised: B2 },
    { promised: B1, slot: slot(5) },
  ],
];

test.each(messages)(
  "a message acknowledges what is durable when it leaves, and no more: %j",
  (message, expected) => {
    expect(afterMessage({ promised: B1, slot: slot(5) }, message)).toEqual(expected);
  },
);

test("less of either is less", () => {
  const acknowledged = { promised: B1, slot: slot(5) };
  expect(isBehind(acknowledged, acknowledged)).toBe(false);
  expect(isBehind({ promised: B2, slot: slot(4) }, acknowledged)).toBe(true);
  expect(isBehind({ promised: NOWHERE.promised, slot: slot(6) }, acknowledged)).toBe(true);
});
