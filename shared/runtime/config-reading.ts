/**
 * Reads a program's settings from its environment: once, as a whole, into frozen data, or not at all.
 *
 * A schema is a zod object whose keys are the names of the variables; what it yields has the same keys. Every
 * complaint is one sentence that begins with the name of the variable, and all complaints come at once.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { misspeltSettings } from "./setting-names.ts";
import { ClusterSecret, MIN_SECRET_CHARACTERS } from "./cluster-secret.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The settings are not valid:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/** An empty variable counts as missing; a misspelt name is an error. Throws ConfigError. */
export function readSettings<Settings>(schema: z.ZodType<Settings>, env: Environment): Settings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const read = schema.safeParse(given);
  const misspelt = misspeltSettings(env);
  if (read.success && misspelt.length === 0) return read.data;
  const wrong = (read.error?.issues ?? []).map(({ path, message, code }) => {
    const name = path.map(String).join(".");
    const isMissing = code === "invalid_type" && given[name] === undefined;
    return isMissing ? `${name} is not set` : `${name} ${message}`;
  });
  throw new ConfigError([...misspelt, ...wrong]);
}

/**
 * Secrets by file: for each name, `<name>_FILE` may name a file that holds the value (one trailing line break is
 * dropped). Throws ConfigError when both are set or the file cannot be read.
 */
export function withSecretFiles(env: Environment, names: readonly string[]): Environment {
  const problems: string[] = [];
  const read: Record<string, string> = {};
  for (const name of names) {
    const file = env[`${name}_FILE`];
    if (file === undefined || file === "") continue;
    if (env[name] !== undefined && env[name] !== "") {
      problems.push(`${name} and ${name}_FILE are both set; only one may be`);
      continue;
    }
    try {
      read[name] = readFileSync(file, "utf8").replace(/\r?\n$/, "");
    } catch (error) {
      problems.push(`${name}_FILE cannot be read: ${(error as Error).message}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { ...env, ...read };
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

const ADDRESS_PATTERN = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/;
const MAX_PORT = 65_535;

/** `host:port`, an IPv6 host in brackets. */
export function readAddress(text: string): Address | undefined {
  const match = ADDRESS_PATTERN.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > MAX_PORT ? undefined : { host, port };
}

export const addressSetting = z.string().transform((text, context): Address => {
  const address = readAddress(text.trim());
  if (address !== undefined) return address;
  context.addIssue(`must be host:port, but is "${text}"`);
  return z.NEVER;
});

/** Nobody but this machine reaches it. */
export function isLoopback({ host }: Address): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Unset, "0" or "false" is no; "1" or "true" is yes. */
export const switchSetting = z
  .enum(["0", "1", "false", "true"], "must be 1 or 0")
  .default("0")
  .transform((text) => text === "1" || text === "true");

export const clusterSecretSetting = z
  .string()
  .min(MIN_SECRET_CHARACTERS, `must have at least ${MIN_SECRET_CHARACTERS} characters`)
  .transform((text) => new ClusterSecret(text))
  .optional();

export function wholeNumberSetting(lowest: number, highest: number, otherwise?: number) {
  const sentence = `must be a whole number from ${lowest} to ${highest}`;
  const number = z.string().transform((text, context): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= lowest && value <= highest) return value;
    context.addIssue(`${sentence}, but is "${text}"`);
    return z.NEVER;
  });
  return otherwise === undefined ? number : number.default(otherwise);
}

export function choiceSetting<const Choice extends string>(
  choices: readonly Choice[],
  otherwise: Choice,
) {
  return z
    .string()
    .default(otherwise)
    .transform((text, context): Choice => {
      const choice = choices.find((candidate) => candidate === text);
      if (choice !== undefined) return choice;
      context.addIssue(`must be one of ${choices.join(", ")}, but is "${text}"`);
      return z.NEVER;
    });
}

/** `key=value,key=value`: each key at most once, at least one entry. `undefined` from a reader refuses the entry. */
export function mapSetting<Key, Value>(
  readKey: (text: string) => Key | undefined,
  readValue: (text: string) => Value | undefined,
  example: string,
) {
  return z.string().transform((text, context): ReadonlyMap<Key, Value> => {
    const entries = new Map<Key, Value>();
    for (const part of text.split(",")) {
      const cut = part.indexOf("=");
      const key = cut < 0 ? undefined : readKey(part.slice(0, cut).trim());
      const value = cut < 0 ? undefined : readValue(part.slice(cut + 1).trim());
      if (key === undefined || value === undefined) {
        context.addIssue(`must look like "${example}", but holds "${part}"`);
        return z.NEVER;
      }
      if (entries.has(key)) {
        context.addIssue(`names ${String(key)} more than once`);
        return z.NEVER;
      }
      entries.set(key, value);
    }
    return entries;
  });
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A complaint when nodes have certificates, but are asked without. */
export function plainOrigins(
  certificate: string | undefined,
  coordinators: Iterable<string>,
): string | undefined {
  if (certificate === undefined) return undefined;
  const plain = [...coordinators].filter((origin) => !origin.startsWith("https:"));
  if (plain.length === 0) return undefined;
  return `SYNOD_COORDINATORS must be https origins, because SYNOD_TLS_CERT is set, but holds ${plain.join(", ")}`;
}

/** An http or https origin, without a trailing slash. */
export function readOrigin(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isOrigin = url.pathname === "/" && url.search === "" && url.hash === "";
  const isPlain = url.username === "" && url.password === "";
  return isOrigin && isPlain && /^https?:$/.test(url.protocol) ? url.origin : undefined;
}
