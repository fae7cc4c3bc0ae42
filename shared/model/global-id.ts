/**
 * The gid under which Postgres keeps a prepared branch: `synod_<cluster>_<carrierId>_<shard>`.
 *
 * Gids are unique per Postgres server, not per database, hence the shard; they are readable by every role, hence
 * no secrets; they go into SQL as literals (a gid cannot be a bind parameter), hence the narrow alphabet.
 * Neither cluster nor carrier id may hold an underscore, so the text can be taken apart without doubt.
 */
import { assert } from "./assert.ts";
import type { CarrierId, ClusterId, GlobalId, ShardId } from "./ids.ts";
import { parseCarrierId, SHARD_ID_PATTERN } from "./ids.ts";

/** Postgres' limit is 199 bytes (GIDSIZE - 1). */
const GLOBAL_ID_PATTERN = /^[A-Za-z0-9_.-]{1,199}$/;

export function globalIdPrefix(cluster: ClusterId): string {
  return `synod_${cluster}_`;
}

export function globalId(cluster: ClusterId, carrier: CarrierId, shard: ShardId): GlobalId {
  const gid = `${globalIdPrefix(cluster)}${carrier}_${shard}`;
  assert(GLOBAL_ID_PATTERN.test(gid), "a gid is at most 199 characters of [A-Za-z0-9_.-]");
  return gid as GlobalId;
}

export interface GlobalIdParts {
  readonly carrier: CarrierId;
  readonly shard: ShardId;
}

/** Undefined for a gid of another cluster, of other software, or of no software at all. */
export function parseGlobalId(cluster: ClusterId, gid: string): GlobalIdParts | undefined {
  const prefix = globalIdPrefix(cluster);
  if (!gid.startsWith(prefix) || !GLOBAL_ID_PATTERN.test(gid)) return undefined;
  const rest = gid.slice(prefix.length);
  const cut = rest.indexOf("_");
  if (cut < 0) return undefined;
  const carrier = parseCarrierId(rest.slice(0, cut));
  const shard = rest.slice(cut + 1);
  if (carrier === undefined || !SHARD_ID_PATTERN.test(shard)) return undefined;
  return { carrier, shard: shard as ShardId };
}
