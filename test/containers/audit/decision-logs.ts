/**
 * What each coordinator's log has decided, read off copies of its files. Logs lose their beginning to snapshots, so they are copied
 * after every fault, and what was read of a slot before is kept: as long as no slot was missed, nothing was.
 */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { consensusSettings } from "../../../coordinator/consensus-settings.ts";
import { LogCorruption } from "../../../coordinator/log/log-store.ts";
import { WriteAheadLog } from "../../../coordinator/log/wal/wal.ts";
import type { ChosenSlot } from "../../../coordinator/paxos/message.ts";
import { recover } from "../../../coordinator/paxos/recover.ts";
import { type Command, decodeBatch } from "../../../coordinator/transactions/command.ts";
import { clusterId, nextSlot, nodeId } from "../../../shared/model/ids.ts";
import { decisionsOf } from "../../histories/audit/decisions.ts";
import type { NodeLog } from "../../histories/audit/evidence.ts";
import type { Cluster, Coordinator } from "../cluster.ts";

/** A copy of a log that is being written may be of two moments. */
const COPY_ATTEMPTS = 5;
/** Nothing elects here. */
const TIMES = { heartbeatIntervalMs: 75, electionTimeoutMs: 600 };

export class DecisionLogs {
  readonly #cluster: Cluster;
  readonly #commands = new Map<number, Map<number, readonly Command[]>>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async collect(): Promise<void> {
    for (const node of this.#cluster.coordinators) {
      const known = this.#commands.get(node.id) ?? new Map<number, readonly Command[]>();
      this.#commands.set(node.id, known);
      for (const { slot, value } of await this.#readChosen(node)) {
        if (!known.has(slot)) known.set(slot, decodeBatch(value));
      }
    }
  }

  /** As `logs`, while later decisions may not have been read yet: what is not in them says nothing. */
  logsSoFar(names: ReadonlyMap<string, string>): readonly NodeLog[] {
    return this.logs(names).map((log) => ({ ...log, isComplete: false }));
  }

  /** `names` by transaction id, of those without a key. */
  logs(names: ReadonlyMap<string, string>): readonly NodeLog[] {
    return [...this.#commands].map(([id, known]) => {
      const slots = [...known].sort(([one], [other]) => one - other);
      const isComplete = slots.every(([slot], index) => slot === index + 1);
      const commands = slots.flatMap(([, batch]) => batch);
      // Rules need all commands before: a log with a hole decides nothing here.
      const decisions = isComplete ? decisionsOf(commands, names) : [];
      return { node: `node ${id}`, isComplete, decisions };
    });
  }

  async #readChosen(node: Coordinator): Promise<readonly ChosenSlot[]> {
    for (let attempt = 1; ; attempt += 1) {
      const copy = await mkdtemp(join(tmpdir(), "synod-log-"));
      try {
        await node.copyData(copy);
        return await this.#readCopy(copy, node.id);
      } catch (error) {
        if (!(error instanceof LogCorruption) || attempt === COPY_ATTEMPTS) throw error;
      } finally {
        await rm(copy, { recursive: true, force: true });
      }
    }
  }

  async #readCopy(directory: string, id: number): Promise<readonly ChosenSlot[]> {
    for (const name of await readdir(directory)) {
      // Held by the original.
      if (name.startsWith("lock")) await rm(join(directory, name));
    }
    const members = this.#cluster.coordinators.map((node) => nodeId(node.id));
    const identity = { clusterId: clusterId(this.#cluster.clusterId), nodeId: nodeId(id) };
    const log = new WriteAheadLog({ directory, identity, expectExisting: true });
    const { records } = await log.open();
    await log.close();
    const { paxos } = consensusSettings({ nodeId: identity.nodeId, members, ...TIMES });
    const { state } = recover(paxos, records);
    // Also those that a snapshot covers, as far as they are still there.
    const chosen: ChosenSlot[] = [];
    for (let slot = nextSlot(state.log.truncatedUpTo); slot <= state.chosenUpTo;) {
      const entry = state.log.get(slot);
      if (entry !== undefined) chosen.push({ slot, value: entry.value });
      slot = nextSlot(slot);
    }
    return chosen;
  }
}
