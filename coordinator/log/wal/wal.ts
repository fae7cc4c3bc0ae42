/**
 * The LogStore on a real disk. One write is under way at a time; what is appended meanwhile goes into the next, with one
 * sync for all (group commit). The first error ends it for good: a later sync may succeed over lost pages.
 *
 *   directory/identity.json      {clusterId, nodeId, storageId}
 *   directory/lock               who has it open
 *   directory/log/00000001.segment …
 *
 * Opening writes the last batch once more, into a fresh segment: the page cache may have shown bytes that an earlier,
 * failed sync dropped, and only what this process has synced itself may be voted upon.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import type { Ballot } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../paxos/record.ts";
import {
  LogCorruption,
  LogFailure,
  LogIdentityMismatch,
  type LogContents,
  type LogIdentity,
  type LogStore,
} from "../log-store.ts";
import { BLOCK_BYTES, encodeBatchBytes } from "./codec.ts";
import { lockDirectory } from "./directory-lock.ts";
import { systemDisk, type Disk } from "./disk.ts";
import { scan, type Scan, type SegmentSource } from "./recovery.ts";
import {
  isSegmentName,
  makeBlankSegment,
  OpenSegment,
  segmentName,
  type BlankSegment,
} from "./segment.ts";

export interface WriteAheadLogOptions {
  readonly directory: string;
  readonly identity: LogIdentity;
  readonly segmentBytes?: number;
  readonly disk?: Disk;
}

const DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024;

const Identity = z.strictObject({
  clusterId: z.string(),
  nodeId: z.int(),
  storageId: z.string().min(1),
});
type Identity = z.infer<typeof Identity>;

interface Waiting {
  readonly records: readonly DurableRecord[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class WriteAheadLog implements LogStore {
  readonly #options: WriteAheadLogOptions;
  readonly #disk: Disk;
  readonly #segmentBytes: number;
  #owner = "";
  #unlock: () => void = () => undefined;
  #segment: OpenSegment | undefined;
  #nextSegment: Promise<BlankSegment> | undefined;
  #nextBatch = 1;
  #chain = 0;
  #promised = 0 as Ballot;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failure: LogFailure | undefined;

  constructor(options: WriteAheadLogOptions) {
    this.#options = options;
    this.#disk = options.disk ?? systemDisk;
    this.#segmentBytes = options.segmentBytes ?? DEFAULT_SEGMENT_BYTES;
  }

  get #logDirectory(): string {
    return join(this.#options.directory, "log");
  }

  async open(): Promise<LogContents> {
    this.#disk.makeDirectory(this.#logDirectory);
    this.#unlock = lockDirectory(this.#options.directory);
    try {
      return await this.#open();
    } catch (error) {
      this.#unlock();
      throw error;
    }
  }

  async #open(): Promise<LogContents> {
    const { identity, created } = await this.#claim();
    this.#owner = JSON.stringify(identity);
    const names = this.#disk.list(this.#logDirectory).filter(isSegmentName);
    const found = scan(
      names.map((name) => this.#source(name)),
      this.#owner,
    );
    const { records, tail } = this.#intact(found);
    for (const record of records) this.#notePromise(record);
    const lastSegment = tail?.segment ?? 0;
    if (tail !== undefined) {
      await this.#cutOff(tail.file, tail.end);
      this.#nextBatch = tail.nextBatch;
      this.#chain = tail.chain;
    }
    for (const name of names) {
      if (name > segmentName(lastSegment)) this.#disk.remove(join(this.#logDirectory, name));
    }
    await this.#disk.syncDirectory(this.#logDirectory);
    this.#nextSegment = this.#prepare(lastSegment + 1);
    await this.#write(tail?.last?.records ?? []);
    return { records, storageId: identity.storageId, created };
  }

  /** Reads the directory's identity, or gives a new directory one, durably, before anything else is in it. */
  async #claim(): Promise<{ readonly identity: Identity; readonly created: boolean }> {
    const { directory, identity: wanted } = this.#options;
    const path = join(directory, "identity.json");
    if (!this.#disk.exists(path)) {
      if (this.#disk.list(this.#logDirectory).length > 0) {
        throw new LogIdentityMismatch(`${directory} holds a log, but identity.json is missing`);
      }
      const identity = { ...wanted, storageId: randomUUID() };
      await this.#disk.writeAtomically(path, JSON.stringify(identity));
      return { identity, created: true };
    }
    const text = new TextDecoder().decode(this.#disk.read(path));
    const parsed = Identity.safeParse(JSON.parse(text));
    if (!parsed.success) throw new LogIdentityMismatch(`${path} cannot be read`);
    const { clusterId, nodeId } = parsed.data;
    if (clusterId !== wanted.clusterId || nodeId !== wanted.nodeId) {
      throw new LogIdentityMismatch(
        `${directory} belongs to node ${String(nodeId)} of cluster ${clusterId}, ` +
          `not to node ${String(wanted.nodeId)} of cluster ${wanted.clusterId}`,
      );
    }
    return { identity: parsed.data, created: false };
  }

  #source(name: string): SegmentSource {
    const file = join(this.#logDirectory, name);
    return {
      file,
      firstBlock: this.#disk.readStart(file, BLOCK_BYTES),
      read: () => this.#disk.read(file),
    };
  }

  #intact(found: Scan): Extract<Scan, { kind: "intact" }> {
    if (found.kind === "corrupt") throw new LogCorruption(found.file, found.offset, found.what);
    if (found.kind === "foreign") {
      throw new LogIdentityMismatch(`${found.file} belongs to another log: ${found.owner}`);
    }
    return found;
  }

  async #cutOff(file: string, end: number): Promise<void> {
    const opened = await this.#disk.open(file);
    try {
      await opened.truncate(end);
      await opened.sync();
    } finally {
      await opened.close();
    }
  }

  append(records: readonly DurableRecord[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    this.#failure ??= new LogFailure("the log is closed");
    const next = await this.#nextSegment?.catch(() => undefined);
    await next?.file.close();
    await this.#segment?.close();
    this.#unlock();
  }

  /** Never rejects: an error goes to every append that waits, and to every later one. */
  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#write(group.flatMap(({ records }) => records));
        for (const { resolve } of group) resolve();
      } catch (cause) {
        this.#failure ??= new LogFailure(`the log cannot be written: ${String(cause)}`, { cause });
        for (const { reject } of group) reject(this.#failure);
      }
    }
    this.#writing = undefined;
  }

  async #write(records: readonly DurableRecord[]): Promise<void> {
    if (records.length === 0 && this.#segment !== undefined) return;
    for (const record of records) this.#notePromise(record);
    const { bytes, bodyCrc } = encodeBatchBytes({
      number: this.#nextBatch,
      chain: this.#chain,
      promised: this.#promised,
      records,
    });
    const segment = await this.#room(bytes.length);
    await segment.append(bytes);
    this.#nextBatch += 1;
    this.#chain = bodyCrc;
  }

  #notePromise(record: DurableRecord): void {
    if (record.kind !== "promised" && record.kind !== "accepted") return;
    if (record.ballot > this.#promised) this.#promised = record.ballot;
  }

  /** The segment that takes a batch of this size: the present one, or the one made ready behind it. */
  async #room(bytes: number): Promise<OpenSegment> {
    if (this.#segment !== undefined && this.#segment.freeBytes >= bytes) {
      if (this.#segment.freeBytes < this.#segmentBytes / 2) {
        this.#nextSegment ??= this.#prepare(this.#segment.segment + 1);
      }
      return this.#segment;
    }
    const previous = this.#segment;
    let blank = await (this.#nextSegment ?? this.#prepare((previous?.segment ?? 0) + 1));
    this.#nextSegment = undefined;
    if (blank.bytes < BLOCK_BYTES + bytes) blank = await this.#enlarge(blank, bytes);
    const header = {
      segment: blank.segment,
      firstBatch: this.#nextBatch,
      chain: this.#chain,
      owner: this.#owner,
    };
    this.#segment = await OpenSegment.begin(blank, header);
    await previous?.close();
    return this.#segment;
  }

  #prepare(segment: number): Promise<BlankSegment> {
    const blank = makeBlankSegment(this.#disk, this.#logDirectory, segment, this.#segmentBytes);
    // A failure is met by whoever needs the segment; until then it must not count as unhandled.
    blank.catch(() => undefined);
    return blank;
  }

  /** For a batch larger than a whole segment. */
  async #enlarge(blank: BlankSegment, batchBytes: number): Promise<BlankSegment> {
    await blank.file.truncate(BLOCK_BYTES + batchBytes);
    await blank.file.sync();
    return { ...blank, bytes: BLOCK_BYTES + batchBytes };
  }
}
