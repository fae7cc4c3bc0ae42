/** Whose log a directory holds: `identity.json`, written once, when the log is made. */
import { join } from "node:path";
import { z } from "zod";
import { LogIdentityMismatch, type LogIdentity } from "../log-store.ts";
import type { Disk } from "./disk.ts";

const StoredIdentity = z.strictObject({
  clusterId: z.string(),
  nodeId: z.int(),
  storageId: z.string().min(1),
});
export type StoredIdentity = z.infer<typeof StoredIdentity>;

export const identityPath = (directory: string): string => join(directory, "identity.json");

/** The same text for the same identity: segment headers are compared by it. */
export function identityText({ clusterId, nodeId, storageId }: StoredIdentity): string {
  return JSON.stringify({ clusterId, nodeId, storageId });
}

/** Undefined when there is none. Throws LogIdentityMismatch. */
export function readIdentity(
  disk: Disk,
  directory: string,
  wanted: LogIdentity,
): StoredIdentity | undefined {
  const path = identityPath(directory);
  if (!disk.exists(path)) return undefined;
  const stored = parse(new TextDecoder().decode(disk.read(path)));
  if (stored === undefined) throw new LogIdentityMismatch(`${path} cannot be read`);
  const { clusterId, nodeId } = stored;
  if (clusterId !== wanted.clusterId || nodeId !== wanted.nodeId) {
    throw new LogIdentityMismatch(
      `${directory} belongs to node ${nodeId} of cluster ${clusterId}, ` +
        `not to node ${wanted.nodeId} of cluster ${wanted.clusterId}`,
    );
  }
  return stored;
}

function parse(text: string): StoredIdentity | undefined {
  try {
    return StoredIdentity.safeParse(JSON.parse(text)).data;
  } catch {
    // No JSON: reported by the caller like any other unreadable identity.
    return undefined;
  }
}
