/** Where the cluster is and who asks: from options, else the environment, else a development cluster in this directory. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { UsageError } from "./failure.ts";

/** Written by `synod dev` (demo/cluster/cluster-file.ts). */
const DEV_CLUSTER_FILE = ".synod/cluster.json";
const DevCluster = z.object({ coordinators: z.array(z.object({ url: z.string() })).min(1) });

export interface SettingOptions {
  readonly endpoints?: string;
  readonly tokenFile?: string;
}

export function readEndpoints(
  { endpoints }: SettingOptions,
  env: NodeJS.ProcessEnv,
): readonly string[] {
  const given = endpoints ?? env["SYNOD_ENDPOINTS"];
  if (given !== undefined && given !== "") {
    return given.split(",").map((url) => checked(url.trim()));
  }
  const file = resolve(DEV_CLUSTER_FILE);
  if (!existsSync(file)) {
    throw new UsageError(
      "no coordinator is given",
      "name one or more: --endpoints http://host:port,… or SYNOD_ENDPOINTS; or start a cluster here: synod dev",
    );
  }
  const { coordinators } = DevCluster.parse(JSON.parse(readFileSync(file, "utf8")));
  return coordinators.map(({ url }) => url);
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
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const next = "give --token-file or SYNOD_TOKEN_FILE a file that can be read";
    throw new UsageError(`the token file ${file} cannot be read (${code ?? "error"})`, next);
  }
}
