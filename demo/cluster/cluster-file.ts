/** cluster.json: where a running local cluster can be reached, for people and scripts. */
import { renameSync, writeFileSync } from "node:fs";
import type { ClusterNode, ClusterParticipant } from "./members.ts";

/** Replaced as a whole; readable by us only, because the urls hold the databases' passwords. */
export function writeClusterFile(
  file: string,
  coordinators: readonly ClusterNode[],
  participants: readonly ClusterParticipant[],
): void {
  const content = {
    coordinators: coordinators.map(({ id, url, pid, dataDir }) => ({ id, url, pid, dataDir })),
    participants: participants.map(({ shard, url, pid, postgresUrl, postgresPid }) => {
      return { shard, url, pid, postgresUrl, postgresPid };
    }),
  };
  const unfinished = `${file}.unfinished`;
  writeFileSync(unfinished, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(unfinished, file);
}
