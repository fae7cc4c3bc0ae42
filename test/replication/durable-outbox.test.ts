/** What waits for the disk, and how much of it. */
import type { DurableRecord } from "../../coordinator/paxos/record.ts";
import type { Envelope, PaxosMessage } from "../../coordinator/paxos/message.ts";
import type { PaxosOutput } from "../../coordinator/paxos/state.ts";
import { DurableOutbox } from "../../coordinator/replication/durable-outbox.ts";
import { MemoryDisk } from "../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../coordinator/log/memory-log.ts";
import { ballot, nodeId } from "../../shared/model/ids.ts";
import { ManualClock } from "../transactions/support/manual-clock.ts";

const WRITE_MS = 100;
const two = nodeId(2);
const promised: DurableRecord = { kind: "promised", ballot: ballot(1, two) };
const answer = (beat: number): PaxosMessage => {
  return { kind: "heartbeatReply", ballot: ballot(1, two), beat };
};

function output(records: readonly DurableRecord[], ...messages: PaxosMessage[]): PaxosOutput {
  const release = messages.map((message): Envelope => ({ to: two, message }));
  return { records, release, send: [], apply: [], fetch: undefined, restore: undefined };
}

interface Bench {
  readonly outbox: DurableOutbox;
  readonly clock: ManualClock;
  readonly left: PaxosMessage[];
  /** So many appends reached the log. */
  readonly appends: () => number;
}

async function bench(): Promise<Bench> {
  const clock = new ManualClock();
  let appends = 0;
  const nextAppend = (): number => WRITE_MS;
  const log = new MemoryLog({ disk: new MemoryDisk("disk"), clock, nextAppend });
  await log.open();
  const append = log.append.bind(log);
  log.append = (records) => {
    appends += 1;
    return append(records);
  };
  const left: PaxosMessage[] = [];
  const outbox = new DurableOutbox({
    ...{ log, clock },
    deliver: (envelopes) => {
      left.push(...envelopes.map(({ message }) => message));
    },
    onFailure: (error) => {
      throw error;
    },
  });
  return { outbox, clock, left, appends: () => appends };
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("an answer leaves at once when nothing is being written, and else with the last write", async () => {
  const { outbox, clock, left, appends } = await bench();
  outbox.collect(output([], answer(1)));
  outbox.flush();
  expect(left).toEqual([answer(1)]);
  outbox.collect(output([promised], answer(2)));
  outbox.flush();
  outbox.collect(output([], answer(3)));
  outbox.flush();
  expect(left).toEqual([answer(1)]);
  clock.pass(WRITE_MS);
  await settle();
  expect(left).toEqual([answer(1), answer(2), answer(3)]);
  expect(appends()).toBe(1);
});

test("what waits for a disk that hangs is bounded, and what has records is kept", async () => {
  const { outbox, clock, left } = await bench();
  outbox.collect(output([promised], answer(0)));
  outbox.flush();
  for (let beat = 1; beat <= 5_000; beat += 1) {
    outbox.collect(output([], answer(beat)));
    outbox.flush();
  }
  outbox.collect(output([promised], answer(5_001)));
  outbox.flush();
  expect(outbox.stalledMs()).toBe(0);
  clock.pass(WRITE_MS);
  await settle();
  clock.pass(WRITE_MS);
  await settle();
  const beats = left.map((message) => (message.kind === "heartbeatReply" ? message.beat : -1));
  expect(beats).toHaveLength(1 + 1024 + 1);
  expect([beats[0], beats.at(-1)]).toEqual([0, 5_001]);
});
