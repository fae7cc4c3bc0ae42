/** Where the cluster is and who asks: from options, else the environment, else a development cluster in this directory. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { UsageError } from "./failure.ts";

/** Written by `synod dev` (demo/cluster/cluster-file.ts). */
const DEV_CLUSTER_FILE = ".synod/cluster.json";
const DevCluster = z.object({
  authority: z.string().optional(),
  coordinators: z.array(z.object({ url: z.string() })).min(1),
});

export interface SettingOptions {
  readonly endpoints?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
}

export interface Place {
  readonly endpoints: readonly string[];
  /** PEM of the authority to trust. */
  readonly authority?: string;
}

export function readPlace(options: SettingOptions, env: NodeJS.ProcessEnv): Place {
  const endpoints = options.endpoints ?? env["SYNOD_ENDPOINTS"] ?? "";
  const ca = options.ca ?? env["SYNOD_TLS_CA"];
  if (endpoints !== "") {
    return { endpoints: endpoints.split(",").map((url) => checked(url.trim())), ...trust(ca) };
  }
  const file = resolve(DEV_CLUSTER_FILE);
  if (!existsSync(file)) {
    throw new UsageError(
      "no coordinator is given",
      "name one or more: --endpoints http://host:port,… or SYNOD_ENDPOINTS; or start a cluster here: synod dev",
    );
  }
  const { coordinators, authority } = DevCluster.parse(JSON.parse(readFileSync(file, "utf8")));
  return { endpoints: coordinators.map(({ url }) => url), ...trust(ca ?? authority) };
}

function trust(file: string | undefined): Pick<Place, "authority"> {
  if (file === undefined) return {};
  return { authority: readGiven(file, "the authority", "--ca or SYNOD_TLS_CA") };
}

function checked(url: string): string {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw new UsageError(`"${url}" is no address of a coordinator`, "write it as http://host:port");
}

/** A file, because arguments and environments are seen by others on the machine. */
export function readToken(
  { tokenFile }: SettingOptions,
  env: NodeJS.ProcessEnv,
): string | undefined {
  const file = tokenFile ?? env["SYNOD_TOKEN_FILE"];
  if (file === undefined) return undefined;
  return readGiven(file, "the token file", "--token-file or SYNOD_TOKEN_FILE").trim();
}

export function readGiven(file: string, what: string, setting: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const next = `give ${setting} a file that can be read`;
    throw new UsageError(`${what} ${file} cannot be read (${code ?? "error"})`, next);
  }
}
