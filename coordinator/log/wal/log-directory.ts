/** The files of a log's directory: which there are, and which may go. */
import { join } from "node:path";
import type { Slot } from "../../../shared/model/ids.ts";
import { LogCorruption } from "../log-store.ts";
import { BLOCK_BYTES } from "./codec.ts";
import type { Disk } from "./disk.ts";
import type { SegmentSource } from "./recovery.ts";
import { claimsToBeSegment, isDraftName, segmentName, segmentOf } from "./segment.ts";
import { isSnapshotDraftName, snapshotSlotOf } from "./snapshot-files.ts";

export class LogDirectory {
  readonly #disk: Disk;
  readonly #path: string;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** In order of their numbers. Throws LogCorruption where something else has the name of a segment. */
  segments(): readonly SegmentSource[] {
    const names = this.#disk.list(this.#path).filter(claimsToBeSegment);
    return names.map((name) => this.#source(name)).sort((a, b) => a.segment - b.segment);
  }

  get holdsSnapshot(): boolean {
    return this.#disk.list(this.#path).some((name) => snapshotSlotOf(name) !== undefined);
  }

  #source(name: string): SegmentSource {
    const file = join(this.#path, name);
    const segment = segmentOf(name);
    if (segment === undefined) throw new LogCorruption(file, 0, "An unknown segment");
    return {
      ...{ file, segment, predecessor: join(this.#path, segmentName(segment - 1)) },
      readHeader: () => this.#disk.readPart(file, 0, BLOCK_BYTES),
      read: () => this.#disk.read(file),
    };
  }

  /** What crashes left half made. */
  async removeDrafts(): Promise<void> {
    await this.#remove((name) => isDraftName(name) || isSnapshotDraftName(name));
  }

  async removeSegments(isRemoved: (segment: number) => boolean): Promise<void> {
    await this.#remove((name) => {
      const segment = segmentOf(name);
      return segment !== undefined && isRemoved(segment);
    });
  }

  async removeSnapshots(isRemoved: (slot: Slot) => boolean): Promise<void> {
    await this.#remove((name) => {
      const slot = snapshotSlotOf(name);
      return slot !== undefined && isRemoved(slot);
    });
  }

  /** Durable when it resolves. */
  async #remove(isRemoved: (name: string) => boolean): Promise<void> {
    const removed = this.#disk.list(this.#path).filter(isRemoved);
    for (const name of removed) await this.#disk.remove(join(this.#path, name));
    if (removed.length > 0) await this.#disk.syncDirectory(this.#path);
  }

  /** Gives back what a crash left behind the last batch: a torn one, preallocated zeros. */
  async cutOff(file: string, end: number): Promise<void> {
    const segment = await this.#disk.openDurable(file);
    try {
      await segment.truncate(end);
    } finally {
      await segment.close();
    }
  }
}
