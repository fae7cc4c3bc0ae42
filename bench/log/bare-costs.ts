/**
 * What no replicated log can be without: one block made durable, and one message to another process and back. Both
 * through the production adapters, one at a time, from the process that leads.
 */
import type { Server } from "node:http";
import { join } from "node:path";
import { BLOCK_BYTES } from "../../coordinator/log/wal/codec.ts";
import { writeAll, type DiskFile } from "../../coordinator/log/wal/disk.ts";
import { systemDisk } from "../../coordinator/log/wal/system-disk.ts";
import { connectChannel, serveChannels } from "../../shared/runtime/channel-ends.ts";
import type { Channel } from "../../shared/runtime/channel.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";
import { quantile, runLoad } from "../load.ts";
import { HOST } from "./log-node.ts";
import type { BareCosts } from "./protocol.ts";

const ECHO_PATH = "/echo";
/** Written round and round: like the log's segments, the file has its length and its blocks before. */
const FILE_BLOCKS = 1_024;
/** The size of a proposal with one command in it, and of a vote. */
const PROPOSAL_BYTES = 700;
const VOTE = { kind: "phase2b", ballot: 1_025, slot: 1 } as const;

/** The other process' side. */
export function serveEcho(server: Server): void {
  serveChannels({
    server,
    path: ECHO_PATH,
    acceptHello: () => () => ({ accept: true, reply: "echo" }),
    onChannel: (channel) => {
      channel.onMessage(() => {
        channel.send(VOTE);
      });
    },
  });
}

export class BareProbe {
  readonly #file: DiskFile;
  readonly #channel: Channel;
  #block = 0;
  #answered: () => void = () => undefined;

  static async open(directory: string, echoPort: number): Promise<BareProbe> {
    return new BareProbe(await openFile(directory), await connectEcho(echoPort));
  }

  private constructor(file: DiskFile, channel: Channel) {
    this.#file = file;
    this.#channel = channel;
    channel.onMessage(() => {
      this.#answered();
    });
  }

  async measure(durationMs: number): Promise<BareCosts> {
    return {
      syncMs: await medianMs(() => this.#sync(), durationMs / 2),
      roundTripMs: await medianMs(() => this.#roundTrip(), durationMs / 2),
    };
  }

  #sync(): Promise<void> {
    this.#block = (this.#block + 1) % FILE_BLOCKS;
    return writeAll(this.#file, new Uint8Array(BLOCK_BYTES), this.#block * BLOCK_BYTES);
  }

  #roundTrip(): Promise<void> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      const value = new Uint8Array(PROPOSAL_BYTES);
      this.#channel.send({ ...VOTE, kind: "phase2a", value, chosenUpTo: 0 });
    });
  }
}

async function medianMs(act: () => Promise<void>, durationMs: number): Promise<number> {
  const client = { transact: () => act().then(() => "committed" as const) };
  const { latenciesMs } = await runLoad([client], durationMs);
  return quantile(latenciesMs, 0.5);
}

async function openFile(directory: string): Promise<DiskFile> {
  const path = join(directory, "bare");
  const file = await systemDisk.create(path);
  await writeAll(file, new Uint8Array(FILE_BLOCKS * BLOCK_BYTES), 0);
  await file.sync();
  await file.close();
  return systemDisk.openDurable(path);
}

function connectEcho(port: number): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const failed = (sentence: string): void => {
      reject(new Error(sentence));
    };
    connectChannel({
      ...{ url: `ws://${HOST}:${port}${ECHO_PATH}`, random: systemRandom },
      hello: () => "echo",
      acceptReply: () => true,
      onUp: resolve,
      onDown: () => undefined,
      onRefused: failed,
      onFailed: failed,
    });
  });
}
