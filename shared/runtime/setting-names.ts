/**
 * The names of all variables that a program of Synod reads, and what is wrong with others that look like one. A misspelt name
 * would leave its setting at the default, and that of a clients' file is that everybody may do everything.
 *
 * One file with the settings of all programs may be given to each of them: so what another program reads is only remarked on.
 */

type Environment = Readonly<Record<string, string | undefined>>;

const SETTING_NAMES = [
  "SYNOD_ALLOW_FAILPOINTS",
  "SYNOD_CLIENTS_FILE",
  "SYNOD_CLUSTER_ID",
  "SYNOD_CLUSTER_SECRET",
  "SYNOD_CLUSTER_SECRET_FILE",
  "SYNOD_CONNECT_TIMEOUT_MS",
  "SYNOD_COORDINATORS",
  "SYNOD_DATABASE_URL",
  "SYNOD_DATABASE_URL_FILE",
  "SYNOD_DATA_DIR",
  "SYNOD_DRAIN_TIMEOUT_MS",
  "SYNOD_ELECTION_TIMEOUT_MS",
  "SYNOD_ENDPOINTS",
  "SYNOD_FAILPOINTS",
  "SYNOD_FINISHING_CONNECTIONS",
  "SYNOD_HEARTBEAT_INTERVAL_MS",
  "SYNOD_HTTP_LISTEN",
  "SYNOD_INQUIRY_AFTER_MS",
  "SYNOD_INSECURE",
  "SYNOD_LEADER_WAIT_MS",
  "SYNOD_LISTEN",
  "SYNOD_LOG_LEVEL",
  "SYNOD_MAX_BRANCHES",
  "SYNOD_MAX_IN_FLIGHT",
  "SYNOD_MAX_OPEN_PER_CLIENT",
  "SYNOD_NODE_ID",
  "SYNOD_PARTICIPANTS",
  "SYNOD_PEERS",
  "SYNOD_PEER_LISTEN",
  "SYNOD_RECEIPT_RETENTION_HOURS",
  "SYNOD_RESCAN_INTERVAL_MS",
  "SYNOD_SHARD_ID",
  "SYNOD_STATEMENTS_FILE",
  "SYNOD_TLS_CA",
  "SYNOD_TLS_CERT",
  "SYNOD_TLS_KEY",
  "SYNOD_TOKEN_FILE",
] as const;
export type SettingName = (typeof SETTING_NAMES)[number];

const OURS = /^SYNOD_/;
/** Kubernetes sets these in every container, for each service that it knows: `synod` is a likely name of one. */
const OF_A_SERVICE =
  /_SERVICE_(?:HOST|PORT)(?:_[A-Z0-9_]+)?$|_PORT(?:_\d+_(?:TCP|UDP)(?:_[A-Z]+)?)?$/;

const isKnown = (name: string): name is SettingName =>
  (SETTING_NAMES as readonly string[]).includes(name);

/** A sentence for each variable that no program reads, with the known one that it was probably meant to be. */
export function misspeltSettings(env: Environment): readonly string[] {
  const unknown = settingsIn(env).filter((name) => !isKnown(name));
  return unknown.map(
    (name) => `${name} is no setting of Synod; the nearest one is ${nearest(name)}`,
  );
}

/** Variables that are another program's. */
export function settingsOfOthers(env: Environment, own: readonly string[]): readonly SettingName[] {
  return settingsIn(env)
    .filter(isKnown)
    .filter((name) => !own.includes(name));
}

function settingsIn(env: Environment): readonly string[] {
  return Object.keys(env).filter((name) => OURS.test(name) && !OF_A_SERVICE.test(name));
}

function nearest(name: string): SettingName {
  const [first, ...others] = SETTING_NAMES;
  const closer = (one: SettingName, other: SettingName): SettingName =>
    distance(name, other) < distance(name, one) ? other : one;
  return others.reduce(closer, first);
}

/** Levenshtein's: how many characters must be put in, taken out or changed. */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [index, character] of Array.from(one).entries()) {
    const next = [index + 1];
    for (let at = 0; at < other.length; at += 1) {
      const change = (row[at] ?? 0) + (character === other[at] ? 0 : 1);
      next.push(Math.min(change, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row[other.length] ?? 0;
}
