/** cluster.json: where a running local cluster can be reached, for people and scripts. */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { processExists } from "../../shared/runtime/process-exists.ts";
import type { ClusterNode, ClusterParticipant } from "./members.ts";

const Pids = z.object({
  coordinators: z.array(z.object({ pid: z.int() })),
  participants: z.array(z.object({ pid: z.int(), postgresPid: z.int() })),
});

/** A process named in the file that is still there; undefined when there is none, or no file. */
export function runningProcess(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const { coordinators, participants } = Pids.parse(JSON.parse(readFileSync(file, "utf8")));
  const pids = [
    ...coordinators.map(({ pid }) => pid),
    ...participants.flatMap(({ pid, postgresPid }) => [pid, postgresPid]),
  ];
  return pids.find(processExists);
}

interface ClusterFile {
  /** The file of the authority that the nodes' certificates are of. */
  readonly authority: string | undefined;
  readonly coordinators: readonly ClusterNode[];
  readonly participants: readonly ClusterParticipant[];
}

/** Replaced as a whole; readable by us only, because the urls hold the databases' passwords. */
export function writeClusterFile(
  file: string,
  { authority, coordinators, participants }: ClusterFile,
): void {
  const content = {
    ...(authority !== undefined && { authority }),
    coordinators: coordinators.map(({ id, url, pid, dataDir }) => ({ id, url, pid, dataDir })),
    participants: participants.map(({ shard, url, pid, postgresUrl, postgresPid }) => {
      return { shard, url, pid, postgresUrl, postgresPid };
    }),
  };
  const unfinished = `${file}.unfinished`;
  writeFileSync(unfinished, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(unfinished, file);
}
