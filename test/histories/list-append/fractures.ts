/** Reads that show one part of a transaction and lack another. */
import type { AnomalyLog } from "./anomaly-log.ts";
import type { Append, Read } from "./keys.ts";
import type { Versions } from "./versions.ts";

interface Shown {
  readonly versions: Versions;
  readonly read: Read;
}

export function tellFractures(all: readonly Versions[], log: AnomalyLog): void {
  const shown = new Map<number, Shown[]>();
  const parts = new Map<number, Map<number, number>>();
  for (const versions of all) {
    for (const read of versions.reads) {
      const others = shown.get(read.reader);
      if (others === undefined) shown.set(read.reader, [{ versions, read }]);
      else others.push({ versions, read });
    }
    const note = ({ writer }: Append, position: number): void => {
      const places = parts.get(writer) ?? new Map<number, number>();
      places.set(versions.key.index, places.get(versions.key.index) ?? position);
      parts.set(writer, places);
    };
    versions.order.forEach(note);
    for (const append of versions.unseen) note(append, versions.order.length);
  }
  for (const [reader, reads] of shown) {
    if (reads.length > 1) tellOf(reader, reads, parts, log);
  }
}

function tellOf(
  reader: number,
  reads: readonly Shown[],
  parts: ReadonlyMap<number, ReadonlyMap<number, number>>,
  log: AnomalyLog,
): void {
  const told = new Set<number>();
  for (const seen of reads) {
    for (let place = 0; place < seen.read.length; place += 1) {
      const { writer } = seen.versions.order[place]!;
      const places = parts.get(writer);
      if (writer === reader || places === undefined || places.size < 2 || told.has(writer))
        continue;
      const missed = reads.find(({ versions, read }) => {
        const position = places.get(versions.key.index);
        return versions !== seen.versions && position !== undefined && position >= read.length;
      });
      if (missed === undefined) continue;
      told.add(writer);
      log.add({
        ...{ kind: "fractured read", reader, writer },
        ...{ seenKey: seen.versions.key.index, missedKey: missed.versions.key.index },
        views: [seen.read.view, missed.read.view],
        isOneShard: seen.versions.key.shard === missed.versions.key.shard,
      });
    }
  }
}
