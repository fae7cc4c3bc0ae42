/**
 * PeerMemory in `peers.json` of the data directory. Replaced as a whole: draft, sync, rename, sync of the directory.
 *
 * Whoever loses the file, or reads something else than was written, would take votes from any disk or refuse a healthy peer for
 * good: so it has a checksum, and stands beside a log from its beginning.
 *
 * A new disk is written synchronously: it happens once per peer in the life of a directory, and the hello waits for it
 * anyway. The rest is written behind everybody's back.
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import type { Cancel, Clock } from "../../shared/model/ports.ts";
import { crc32 } from "../log/wal/crc32.ts";
import type { KnownPeer, PeerMemory } from "./known-peers.ts";

/** What a crash of this node may make it forget of its peers' acknowledgements. */
const SAVE_INTERVAL_MS = 5_000;
const FORMAT_VERSION = 2;

const count = z.int().min(0);
const storedPeer = {
  node: z.int().min(1),
  storageId: z.string().min(1),
  promised: count,
  slot: count,
};
const Stored = z.strictObject({
  version: z.literal(FORMAT_VERSION),
  /** CRC-32 of `peers`, as JSON. */
  crc: count,
  peers: z.array(z.strictObject(storedPeer)),
});
/** Without a checksum, and only there once a peer was met. */
const FirstVersion = z.strictObject({
  version: z.literal(1),
  peers: z.array(z.strictObject({ ...storedPeer, bootId: z.string() })),
});
type StoredPeers = z.output<typeof Stored>["peers"];

export const peersPath = (directory: string): string => join(directory, "peers.json");

export class PeersFileUnreadable extends Error {
  override readonly name = "PeersFileUnreadable";

  constructor(path: string, what: string) {
    super(
      `${path} ${what}. It says which disks stand behind the other nodes: without it this node would take votes from ` +
        `any. Replace the node (new node id, empty directory); do not delete single files.`,
    );
  }
}

export interface PeersFileOptions {
  readonly directory: string;
  readonly clock: Clock;
  /** The disk failed, like the log's: the process must end. */
  readonly onFatal: (error: unknown) => void;
}

type Peers = ReadonlyMap<NodeId, KnownPeer>;

export class PeersFile implements PeerMemory {
  readonly #options: PeersFileOptions;
  readonly #path: string;
  #unsaved: Peers | undefined;
  #writing: Promise<void> | undefined;
  #closed = false;
  #cancelSave: Cancel | undefined;
  /** Counts what was written: a slower write must not replace what came after it. */
  #saved = 0;

  constructor(options: PeersFileOptions) {
    this.#options = options;
    this.#path = peersPath(options.directory);
  }

  get exists(): boolean {
    return fs.existsSync(this.#path);
  }

  /** Made with the log. A log that was used has voted with peers that this node had met, so there was a file. */
  begin(logIsUsed: boolean): void {
    if (this.exists) return;
    if (logIsUsed) throw new PeersFileUnreadable(this.#path, "is missing");
    this.saveNow(new Map());
  }

  load(): Peers {
    if (!this.exists) return new Map();
    const stored = parse(fs.readFileSync(this.#path, "utf8"));
    if (stored === undefined) throw new PeersFileUnreadable(this.#path, "cannot be read");
    return new Map(
      stored.map(({ node, storageId, promised, slot }) => {
        const acknowledged = { promised: promised as Ballot, slot: slot as Slot };
        return [node as NodeId, { storageId, acknowledged }];
      }),
    );
  }

  saveNow(peers: Peers): void {
    this.#saved += 1;
    this.#unsaved = undefined;
    const draft = `${this.#path}.draft`;
    const file = fs.openSync(draft, "w");
    try {
      fs.writeFileSync(file, textOf(peers));
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
    fs.renameSync(draft, this.#path);
    const directory = fs.openSync(dirname(this.#path), "r");
    try {
      fs.fsyncSync(directory);
    } finally {
      fs.closeSync(directory);
    }
  }

  saveLater(peers: Peers): void {
    this.#unsaved = peers;
    if (this.#closed || this.#writing !== undefined) return;
    this.#cancelSave ??= this.#options.clock.after(SAVE_INTERVAL_MS, () => {
      this.#cancelSave = undefined;
      this.#writing = this.#save();
    });
  }

  /** Waits for a write under way, and writes what is not written yet: nothing changes in the directory afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelSave?.();
    await this.#writing;
    if (this.#unsaved !== undefined) this.saveNow(this.#unsaved);
  }

  /** Never rejects. */
  async #save(): Promise<void> {
    const peers = this.#unsaved;
    if (peers === undefined) return;
    this.#unsaved = undefined;
    try {
      await this.#replace(textOf(peers));
    } catch (error) {
      this.#options.onFatal(error);
    }
    this.#writing = undefined;
    // Acknowledged while it was written.
    const unsaved = this.#unsaved as Peers | undefined;
    if (unsaved !== undefined) this.saveLater(unsaved);
  }

  async #replace(text: string): Promise<void> {
    const saved = this.#saved;
    const draft = `${this.#path}.later`;
    const file = await fs.promises.open(draft, "w");
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (saved !== this.#saved) {
      fs.rmSync(draft);
      return;
    }
    fs.renameSync(draft, this.#path);
    const directory = await fs.promises.open(dirname(this.#path), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

function textOf(known: Peers): string {
  const peers: StoredPeers = [...known].map(([node, { storageId, acknowledged }]) => {
    return { node, storageId, ...acknowledged };
  });
  return JSON.stringify({ version: FORMAT_VERSION, crc: crcOf(peers), peers });
}

function parse(text: string): StoredPeers | undefined {
  try {
    const body: unknown = JSON.parse(text);
    const { data } = Stored.safeParse(body);
    if (data === undefined) return FirstVersion.safeParse(body).data?.peers;
    return data.crc === crcOf((body as { readonly peers: unknown }).peers) ? data.peers : undefined;
  } catch {
    // No JSON: reported by the caller like any other unreadable file.
    return undefined;
  }
}

const crcOf = (peers: unknown): number => crc32(new TextEncoder().encode(JSON.stringify(peers)));
