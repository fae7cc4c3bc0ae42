/** `synod cert init` and `synod cert issue`: the certificates with which the nodes of a cluster know each other. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Argument, InvalidArgumentError, type Command } from "commander";
import { CLUSTER_ID_PATTERN, SHARD_ID_PATTERN } from "../../shared/model/ids.ts";
import { createAuthority, issueCertificate, type NodeRequest, type Pair } from "../certificates.ts";
import { FoundWrong, UsageError } from "./failure.ts";
import { examples } from "./help.ts";
import type { Output } from "./output.ts";
import { wholeNumber } from "./parsing.ts";

const AUTHORITY = "ca";
const DIRECTORY = "certs";
const MAX_DAYS = 36_500;
const AUTHORITY_DAYS = 3_650;
const NODE_DAYS = 365;
const MAX_NODE_ID = 1_023;
const MAX_HOSTS = 32;
const HOST_PATTERN = /^[\w.:-]{1,253}$/;

interface Place {
  readonly dir: string;
  readonly days: number;
  readonly force?: boolean;
}

type Name = Pick<NodeRequest, "role" | "id">;

export function addCertificateCommands(program: Command, output: Output): void {
  const cert = program.command("cert").description("certificates for mutual TLS between nodes");
  cert
    .command("init")
    .description("make the authority of a cluster; keep its key off the nodes")
    .requiredOption("--cluster <id>", "the cluster, as in SYNOD_CLUSTER_ID", readCluster)
    .option("--dir <directory>", "where the files go", DIRECTORY)
    .option("--days <n>", "how long it is good", wholeNumber(1, MAX_DAYS), AUTHORITY_DAYS)
    .option("--force", "replace an authority: what it has issued is worth nothing then")
    .addHelpText("after", examples("synod cert init --cluster shop"))
    .action(async ({ cluster, ...place }: Place & { readonly cluster: string }) => {
      refuseToReplace(place, AUTHORITY);
      write(place, AUTHORITY, await createAuthority(cluster, place.days), output);
    });
  cert
    .command("issue")
    .description("make the certificate of one node")
    .addArgument(
      new Argument("<node>", "coordinator/<id> or participant/<shard>").argParser(readName),
    )
    .option("--host <host>", "where clients reach it; again for more", collectHost, [])
    .option("--dir <directory>", "where the authority is and the files go", DIRECTORY)
    .option("--days <n>", "how long it is good", wholeNumber(1, MAX_DAYS), NODE_DAYS)
    .option("--force", "replace the node's certificate")
    .addHelpText(
      "after",
      examples(
        "synod cert issue coordinator/1 --host 10.0.0.1 --host synod-1.internal",
        "synod cert issue participant/s1",
      ),
    )
    .action(async (name: Name, { host, ...place }: Place & { readonly host: string[] }) => {
      const file = `${name.role}-${name.id}`;
      refuseToReplace(place, file);
      const request = { ...name, hosts: host, days: place.days };
      write(place, file, await issueCertificate(readAuthority(place.dir), request), output);
    });
}

const certificateFile = (dir: string, name: string): string => join(dir, `${name}.pem`);
const keyFile = (dir: string, name: string): string => join(dir, `${name}-key.pem`);

function readCluster(text: string): string {
  if (CLUSTER_ID_PATTERN.test(text)) return text;
  throw new InvalidArgumentError("It must be 1 to 40 of a-z, 0-9 and -.");
}

function readName(text: string): Name {
  const [role, id = "", ...rest] = text.split("/");
  if (rest.length === 0 && role === "participant" && SHARD_ID_PATTERN.test(id)) return { role, id };
  const isNode = /^[1-9]\d{0,3}$/.test(id) && Number(id) <= MAX_NODE_ID;
  if (rest.length === 0 && role === "coordinator" && isNode) return { role, id };
  throw new InvalidArgumentError("It must be coordinator/<1 to 1023> or participant/<shard>.");
}

function collectHost(host: string, hosts: readonly string[]): readonly string[] {
  if (!HOST_PATTERN.test(host)) throw new InvalidArgumentError("It must be a name or an address.");
  if (hosts.length === MAX_HOSTS) throw new InvalidArgumentError(`At most ${MAX_HOSTS} are taken.`);
  return [...hosts, host];
}

function refuseToReplace({ dir, force }: Place, name: string): void {
  const existing = [certificateFile(dir, name), keyFile(dir, name)].find((path) =>
    existsSync(path),
  );
  if (existing === undefined || force === true) return;
  throw new UsageError(`${existing} exists already`, "replace it with --force, or choose --dir");
}

function readAuthority(dir: string): Pair {
  try {
    const read = (path: string): string => readFileSync(path, "utf8");
    return {
      certificate: read(certificateFile(dir, AUTHORITY)),
      key: read(keyFile(dir, AUTHORITY)),
    };
  } catch (error) {
    throw new FoundWrong(
      `the authority cannot be read: ${(error as Error).message}`,
      "make one: synod cert init --cluster <id>",
    );
  }
}

/** The key first, each file whole or not at all, and for its owner alone. */
function write({ dir }: Place, name: string, { certificate, key }: Pair, output: Output): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const files = [
    [keyFile(dir, name), key],
    [certificateFile(dir, name), certificate],
  ] as const;
  for (const [path, content] of files) {
    const unfinished = `${path}.unfinished`;
    writeFileSync(unfinished, content, { mode: 0o600 });
    renameSync(unfinished, path);
    output.line(path);
  }
}
